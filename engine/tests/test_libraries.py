"""PyTorch is loaded without looking for garbage, and collecting goes on afterwards."""

import gc
import subprocess
import sys
from pathlib import Path

from sits_engine import libraries

ENGINE = Path(__file__).resolve().parents[1]


def test_collecting_goes_on():
    libraries.load()
    assert gc.isenabled()
    gc.unfreeze()  # for the tests that follow


def test_nothing_is_collected_while_it_loads():
    code = """
import gc, sys
import sits_engine
from sits_engine import libraries
seen = []
gc.callbacks.append(lambda phase, info: seen.append(phase))
libraries.load()
assert "torch" in sys.modules
assert not seen, len(seen)
assert gc.get_freeze_count() > 100_000, gc.get_freeze_count()
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ENGINE)
