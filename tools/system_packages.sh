#!/usr/bin/env bash
# Debian/Ubuntu packages that demo and tests need: installed where missing (as root or with sudo).
set -euo pipefail
packages=(qgis python3-qgis python3-venv xvfb xauth ca-certificates)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if ! command -v apt-get >/dev/null; then
  echo "This machine has no apt-get. Install by hand: QGIS 3.22 or newer with its Python modules, Python's venv, Xvfb." >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    as_root=(sudo)
  else
    echo "Packages are missing and this user may not install them. Ask an administrator to run:" >&2
    echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
fi
echo "Installing from the distribution: ${missing[*]}"
log=$(mktemp)
install() {
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
if ! install >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "The packages could not be installed; all that apt-get said: $log" >&2
  exit 1
fi
rm -f "$log"
