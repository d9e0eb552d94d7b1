#!/usr/bin/env bash
# make liar: every lie of docs/design/liar.md in both worlds, with and without its defence,
# and a table of what came of it. The short form once more with the race detector. LIAR_RUN
# is an expression for the lies to tell, LIAR_LABS how many labs stand beside each other, RACE
# the flags of the race detector.
set -uo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
results=$(mktemp)
trap 'rm -f "$results"' EXIT
export LIAR_RESULTS=$results
some=".*/${LIAR_RUN:-}"
status=0
$go test -tags liar -timeout 120m -count 1 -v -run "$some" ./chaos/liar || status=1
$go test -tags liar -timeout 60m -count 1 -v -run "$some" -parallel "${LIAR_LABS:-2}" ./deploy/liar || status=1
# shellcheck disable=SC2086 # flags
LIAR_RESULTS='' $go test ${RACE:--race} -run "$some" -tags liar -short -timeout 30m -count 1 ./chaos/liar || status=1
echo
awk -F '\t' '
	function shown(world, column,   v) {
		v = cell[world, lie, column]
		if (column == "held" && (world, lie, column) in cell) return v == "" ? "held" : "HARM: " v
		return v == "" ? "-" : v
	}
	!($2 in seen) { seen[$2] = 1; order[++n] = $2 }
	{ cell[$1, $2, $3] = $4 }
	END {
		format = "%-22s %-10s %-9s %-52s %-10s %-9s %s\n"
		printf format, "lie", "simulated", "signed in", "without its defence", "processes", "signed in", "without its defence"
		for (i = 1; i <= n; i++) {
			lie = order[i]
			printf format, lie, substr(shown("simulated", "held"), 1, 60), shown("simulated", "first"), substr(shown("simulated", "without"), 1, 50),
				substr(shown("processes", "held"), 1, 60), shown("processes", "first"), substr(shown("processes", "without"), 1, 60)
		}
	}' "$results"
exit $status
