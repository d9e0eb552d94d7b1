#!/usr/bin/env bash
# Installs the system packages Tetrad builds, tests and demonstrates with.
# deps.sh --check only reports (exit 1) what is missing; --build leaves out what only tests use.
set -euo pipefail
check='' tests=yes
for arg; do
  case $arg in
  --check) check=yes ;;
  --build) tests='' ;;
  *) echo "deps.sh: unknown argument $arg" >&2; exit 2 ;;
  esac
done
packages=()
have() { command -v "$1" >/dev/null 2>&1; }
have softhsm2-util || packages+=(softhsm2)
have cc || packages+=(gcc libc6-dev)
have protoc || packages+=(protobuf-compiler)
have git || packages+=(git)
if [ -n "$tests" ]; then
  have valgrind || packages+=(valgrind)
  have ssh-keygen || packages+=(openssh-client)
fi
if [ ${#packages[@]} -eq 0 ]; then
  [ -n "$check" ] || echo "all system packages are present"
  exit 0
fi
if [ -n "$check" ]; then
  echo "installing system packages: ${packages[*]}" >&2
  exit 1
fi
sudo=""
[ "$(id -u)" -eq 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq >/dev/null
$sudo apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
