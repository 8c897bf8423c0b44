"""Classes that hold enough pixels to learn from."""

from __future__ import annotations

import numpy as np

from sits_engine.errors import InputError
from sits_engine.samples.classes import ClassInfo, ClassTable, listed, most_frequent
from sits_engine.samples.window_classes import relabelled, with_classes
from sits_engine.samples.windows import WindowSet


def assign_classes(
    windows: WindowSet, *, table: ClassTable | None = None, min_pixels: int = 100
) -> tuple[WindowSet, list[ClassInfo], list[str]]:
    """Map codes (the `classes` of `windows`) to classes; pixels of those with too few become unknown.

    Counted are pixels, not windows: a single image of many fields can be enough.

    Args:
        windows: labelled by code.
        table: None takes each code as a class of its own.
        min_pixels: fewest labelled pixels of a class.

    Returns:
        The windows; the classes in the order of the labels; sentences on what was dropped, with counts.

    Raises:
        InputError: fewer than two classes are left; names the counts.
    """
    mapped, infos, notes = with_classes(windows, table, min_windows=1)
    counts = dict(zip(mapped.classes, mapped.counts.tolist(), strict=True))
    few = {name for name, n in counts.items() if n < min_pixels}
    if not few:
        return mapped, infos, notes
    left = [name for name in mapped.classes if name not in few]
    if len(left) < 2:
        raise InputError(
            f"Fewer than two classes have at least {min_pixels} labelled pixels: {most_frequent(counts)}.",
            "Add labels, lower MIN_PIXELS, or choose the field that holds the crop.",
        )
    rare = listed([f"{name} ({counts[name]})" for name in sorted(few)])
    notes.append(f"Classes with fewer than {min_pixels} labelled pixels became unknown: {rare}.")
    place = [left.index(name) if name in left else -1 for name in mapped.classes]
    mapped = relabelled(mapped, np.array([*place, -1], np.int16), left)
    return mapped, [info for info in infos if info.name in left], notes
