"""Start file of the engine's child process, run by its absolute path (design: `-P` breaks `-m`)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sits_engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
