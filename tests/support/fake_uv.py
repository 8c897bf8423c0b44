"""A stand-in for uv that keeps a list of its calls and obeys orders: for tests of the set-up."""

import json
from pathlib import Path

#: `sh`, so that it starts at once; writes its arguments, one a line, and a blank line to $calls.
SCRIPT = """#!/bin/sh
if [ "$1" = --version ]; then echo "uv VERSION (fake)"; exit 0; fi
for argument in "$@"; do echo "$argument"; done >> 'FOLDER/calls'
echo >> 'FOLDER/calls'
order=$(cat 'FOLDER/order')
if [ "$1" = venv ]; then
  for target in "$@"; do :; done
  [ "$order" = nopython ] && { echo "error: No interpreter found for Python 3.11"; exit 2; }
  mkdir -p "$target/bin"
  ln -s /usr/bin/python3 "$target/bin/python"
  exit 0
fi
echo $$ > 'FOLDER/pid'
case "$order" in
  slow) echo "Downloading torch (180MiB)"; sleep 60 ;;
  offline) echo "error: Failed to fetch: https://pypi.org/simple/torch/"; echo "  dns error"; exit 2 ;;
esac
echo "Prepared 2 packages in 1s"
echo " + torch==2.13.0"
"""


class FakeUv:
    """Makes the program `folder/uv`."""

    def __init__(self, folder, version="0.13.8"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.program = self.folder / "uv"
        self.program.write_text(SCRIPT.replace("FOLDER", str(self.folder)).replace("VERSION", version))
        self.program.chmod(0o755)
        self.order("")

    def order(self, word):
        """'' works, 'slow' hangs, 'offline' and 'nopython' fail."""
        (self.folder / "order").write_text(word)

    @property
    def calls(self):
        """Arguments of every call so far, as lists."""
        path = self.folder / "calls"
        blocks = path.read_text().split("\n\n") if path.exists() else []
        return [block.split("\n") for block in blocks if block]

    @property
    def pid(self):
        """Process id of the running installation, or None."""
        path = self.folder / "pid"
        return json.loads(path.read_text()) if path.exists() and path.read_text().strip() else None
