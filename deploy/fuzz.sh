#!/usr/bin/env bash
# Runs every Fuzz function of the module for FUZZTIME each.
set -euo pipefail
cd "$(dirname "$0")/.."
grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do
  grep -o '^func Fuzz[A-Za-z0-9_]*' "$file" | sed 's/^func //' | while read -r name; do
    echo "$name in ${file%/*}"
    go test -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-20s}" "./${file%/*}" >/tmp/fuzz.$$ 2>&1 || { cat /tmp/fuzz.$$; exit 1; }
  done
done
rm -f /tmp/fuzz.$$
