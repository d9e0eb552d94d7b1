#!/usr/bin/env bash
# Regenerates protobuf code and the API reference; --check only compares.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
go build -o "$tools/" google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
out=.
if [ "${1:-}" = --check ]; then
  out="$tools/out"
  mkdir -p "$out"
fi
PATH="$tools:$PATH" protoc -I api --go_out="$out" --go_opt=module=github.com/tetrad-vault/tetrad \
  --go-grpc_out="$out" --go-grpc_opt=module=github.com/tetrad-vault/tetrad api/tetrad/v1/*.proto
if [ "${1:-}" = --check ]; then
  (cd "$out" && find . -name '*.go') | while read -r f; do
    cmp -s "$out/$f" "$f" || { echo "$f is not current: run make generate"; exit 1; }
  done
fi
if [ "${1:-}" != --check ]; then
  go run ./api/docgen # docs/api.md; its test compares
fi
