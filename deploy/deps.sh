#!/usr/bin/env bash
# Installs the system packages Tetrad builds, tests and demonstrates with.
# deps.sh --check only reports (exit 1) what is missing.
set -euo pipefail
packages=()
have() { command -v "$1" >/dev/null 2>&1; }
have softhsm2-util || packages+=(softhsm2)
have cc || packages+=(gcc libc6-dev)
have protoc || packages+=(protobuf-compiler)
have git || packages+=(git)
if [ ${#packages[@]} -eq 0 ]; then
  [ "${1:-}" = --check ] || echo "all system packages are present"
  exit 0
fi
if [ "${1:-}" = --check ]; then
  echo "installing system packages: ${packages[*]}" >&2
  exit 1
fi
sudo=""
[ "$(id -u)" -eq 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq >/dev/null
$sudo apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
