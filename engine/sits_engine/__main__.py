"""`python -m sits_engine`, so that torchrun can start the engine: `torchrun … -m sits_engine train …`."""

import sys

from sits_engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
