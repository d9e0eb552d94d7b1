#!/usr/bin/env bash
# make demo, make demo-stop. KEEP=1 leaves the regions running.
set -euo pipefail
cd "$(dirname "$0")/.."
go build -trimpath -o bin/ ./deploy/demo
exec bin/demo "$@"
