#!/usr/bin/env bash
# Prints the GOEXPERIMENT that binaries are built with: what go env says, and runtimesecret
# where the toolchain has it for this platform (then what secrets leave behind is erased; see
# internal/erase). GOEXPERIMENT=noruntimesecret builds without.
set -euo pipefail
go=${GO:-go}
have=$($go env GOEXPERIMENT)
case ",$have," in *runtimesecret,*) echo "$have"; exit 0 ;; esac
with=${have:+$have,}runtimesecret
case "$($go env GOOS GOARCH | paste -sd/)" in
linux/amd64 | linux/arm64) GOEXPERIMENT=$with $go list runtime/secret >/dev/null 2>&1 && have=$with ;;
esac
echo "$have"
