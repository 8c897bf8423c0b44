"""The largest library of the engine, loaded quickly."""

import gc


def load() -> None:
    """Import PyTorch without collecting garbage, of which there is none: a sixth of an engine's start.

    What the import made stays for good, so later collections needn't look at it either.
    """
    gc.disable()
    try:
        import torch  # noqa: F401
    finally:
        gc.freeze()
        gc.enable()
