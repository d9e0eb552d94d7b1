#!/usr/bin/env bash
# make bench: the figures of docs/performance.md. BENCH holds flags for the measurement,
# for example BENCH="-only p256 -duration 30s"; with -only, the Go benchmarks are left out.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
$go build -trimpath -o bin/bench ./deploy/bench
# shellcheck disable=SC2086 # flags
bin/bench ${BENCH:-} "$@"
case " ${BENCH:-} $* " in *" -only"*) exit 0 ;; esac
echo
echo "cost of one audit leaf by size of the log: stored (batch of 1, of 32), and all of Apply"
$go test ./replication -run '^$' -bench 'Append/batch=.*/leaves=(10000|1000000)$' -benchtime 20000x | grep -E '^Benchmark'
$go test ./fsm -run '^$' -bench 'Apply' -benchtime 3000x | grep -E '^Benchmark'
