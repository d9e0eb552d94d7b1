#!/usr/bin/env bash
# make bench: the figures of docs/performance.md. BENCH holds flags for the measurement,
# for example BENCH="-only p256 -duration 30s"; with -only, the Go benchmarks are left out.
# AGAINST=<commit> measures that commit too, in turns with this tree (ROUNDS, default 3): so
# that what a change costs is told apart from what else the machine does.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
GOEXPERIMENT=$(deploy/experiment.sh) # as make build has it
export GOEXPERIMENT
$go build -trimpath -o bin/bench ./deploy/bench
if [ -n "${AGAINST:-}" ]; then
	base=$(mktemp -d)
	trap 'git worktree remove --force "$base" >/dev/null 2>&1 || rm -rf "$base"' EXIT
	git worktree add --quiet --detach "$base" "$AGAINST"
	(cd "$base" && $go build -trimpath -o bin/ ./cmd/vaultd ./cmd/vaultctl && $go build -trimpath -o bin/bench ./deploy/bench)
	for _ in $(seq "${ROUNDS:-3}"); do
		echo "--- $AGAINST"
		# shellcheck disable=SC2086 # flags
		(cd "$base" && bin/bench ${BENCH:-} "$@")
		echo "--- this tree"
		# shellcheck disable=SC2086 # flags
		bin/bench ${BENCH:-} "$@"
	done
	exit 0
fi
# shellcheck disable=SC2086 # flags
bin/bench ${BENCH:-} "$@"
case " ${BENCH:-} $* " in *" -only"*) exit 0 ;; esac
echo
echo "cost of one audit leaf by size of the log: stored (batch of 1, of 32), and all of Apply"
$go test ./replication -run '^$' -bench 'Append/batch=.*/leaves=(10000|1000000)$' -benchtime 20000x | grep -E '^Benchmark'
$go test ./fsm -run '^$' -bench 'Apply' -benchtime 3000x | grep -E '^Benchmark'
echo
echo "signatures on the log: one made, a certificate and a leader proof checked"
$go test ./cluster/chain -run '^$' -bench 'Sign|Verify' | grep -E '^Benchmark'
echo
echo "threshold signatures against plain ones (crypto/ed25519, btcec), in turns, the least of 1500 each: whole (all parties), online (one region), prepare (one nonce)"
$go test ./vault/frost -run '^$' -bench Goals -benchtime 1x |
	awk '/^Benchmark/ { split($1, name, "/"); sub(/-[0-9]+$/, "", name[3]); printf "%-8s %-8s %9.1f us   plain %7.1f us   %5.2f x\n", name[2], name[3], value("least-ns") / 1000, value("plain-ns") / 1000, value("x-plain") }
		function value(unit, i) { for (i = 3; i <= NF; i++) if ($i == unit) return $(i - 1) }'
