#!/usr/bin/env bash
# Generates the Go code of api/tetrad/v1 and docs/api.md. protoc, protoc-gen-go and
# protoc-gen-go-grpc must be in $PATH, at the versions the generated files name.
set -euo pipefail
cd "$(dirname "$0")"
protoc -I . --go_out=. --go_opt=paths=source_relative \
  --go-grpc_out=. --go-grpc_opt=paths=source_relative \
  tetrad/v1/types.proto tetrad/v1/vault.proto tetrad/v1/peer.proto
gofmt -w tetrad/v1/*.pb.go
if [ -d docgen ]; then go run ./docgen -out ../docs/api.md; fi
