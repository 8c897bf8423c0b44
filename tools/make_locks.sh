#!/usr/bin/env bash
# Solve the lock files of the engine again. Usage: make_locks.sh UV
# PyTorch's CPU build for Linux is on PyTorch's own index, or in a folder of wheels (UV_FIND_LINKS).
set -euo pipefail
uv=$(realpath "$1")
cd "$(dirname "$0")/../engine"
where=(--extra-index-url https://download.pytorch.org/whl/cpu --index-strategy unsafe-best-match)
[ -n "${UV_FIND_LINKS:-}" ] && where=(--find-links "$UV_FIND_LINKS")
unset UV_FIND_LINKS # CUDA has to come from PyPI, not from a folder of CPU wheels
solve() {
  "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --custom-compile-command "make locks" "requirements/$1.in" -o "requirements/$1.txt" "${@:2}"
}
solve cpu "${where[@]}"
solve cuda
solve dev --constraint requirements/cpu.txt "${where[@]}"
solve uv --no-config # the plugin fetches uv itself where there is none
