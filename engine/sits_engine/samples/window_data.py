"""What a data set of windows, exported or converted, says about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sits_engine.errors import InputError
from sits_engine.samples.window_store import ARRAYS, STORE

#: Series whose pixel sizes differ by less are alike.
SAME_SIZE = 0.01
ADVICE = "Give a folder that 'Export training windows' or tools/convert_windows.py wrote."


@dataclass(frozen=True)
class WindowData:
    """One data set; only its facts have been read.

    Attributes:
        path: folder.
        n_windows, n_dates: how many.
        size: (height, width) of a window in pixels of the images.
        bands, classes, scale: as `WindowSet`.
        n_regions: regions (series, patches, years), used or not.
        names: of the regions, '' where unknown.
        season_years: of the regions, that positions count from; None where unknown.
        folds: of the regions; None where the data set has none.
        resolutions: metres of a pixel of the images; usually one number, none where it is unknown.
        mask_clouds: whether clouded pixels are left out.
        codes: label codes of each class, where they have other names.
        colors: of classes, where they are known.
        made_by: what wrote it.
        series: facts of the time series that it was cut out of.
    """

    path: Path
    n_windows: int
    n_dates: int
    size: tuple[int, int]
    bands: tuple[str, ...]
    classes: tuple[str, ...]
    scale: int
    n_regions: int
    names: tuple[str, ...]
    season_years: tuple[int | None, ...]
    folds: tuple[int, ...] | None
    resolutions: tuple[float, ...]
    mask_clouds: bool
    codes: Mapping[str, tuple[str, ...]]
    colors: Mapping[str, str]
    made_by: str
    series: tuple[Mapping[str, Any], ...]

    @classmethod
    def open(cls, path: Path) -> WindowData:
        """Read the facts of a data set.

        Raises:
            InputError: not there, no data set of windows, a store that a training keeps for itself, empty, or
                damaged.
        """
        if not Path(path).exists():
            raise InputError(f"Data set of windows not found: {path}.", ADVICE)
        try:
            group = STORE.open(path)
        except InputError as error:
            raise InputError(error.message, ADVICE) from error
        attributes = group.attrs
        if attributes.get("fingerprint"):
            raise InputError(
                f"{path} is no data set: a training keeps windows there for its next run (WINDOWS_STORE).",
                "Give the same SERIES and labels with WINDOWS_STORE again, or make a data set with 'Export "
                "training windows'.",
            )
        try:
            shape = group["values"].shape
            n_regions = int(np.asarray(group["region"][:]).max(initial=-1)) + 1
            extra = dict(attributes.get("extra") or {})
            classes, scale = tuple(attributes["classes"]), int(attributes["scale"])
            bands = tuple(attributes["bands"])
            missing = [name for name in ARRAYS if name not in group]
            if missing:
                raise KeyError(missing[0])
            facts = _facts(extra, n_regions)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"The data set {path} is damaged: {error}.", "Write it again.") from error
        if not shape[0]:
            raise InputError(f"The data set {path} holds no windows.", ADVICE)
        return cls(
            path=Path(path),
            n_windows=int(shape[0]),
            n_dates=int(shape[1]),
            size=(int(shape[3]), int(shape[4])),
            bands=bands,
            classes=classes,
            scale=scale,
            n_regions=n_regions,
            **facts,
        )

    @property
    def name(self) -> str:
        """For people."""
        return self.path.name


def check_alike(sets: Sequence[WindowData]) -> None:
    """Can windows of these be trained on together?

    Raises:
        InputError: names what differs.
    """
    for what, each, advice in (
        ("windows of different sizes", [f"{s.size[0]} x {s.size[1]}" for s in sets], "one WINDOW"),
        ("labels of different scales", [f"{s.scale} times finer" for s in sets], "one SCALE"),
    ):
        if len(set(each)) > 1:
            raise InputError(
                f"The data sets have {what}: {_listed(sets, each)}.", f"Make them with {advice}."
            )
    sizes = [metres for one in sets for metres in one.resolutions]
    if sizes and max(sizes) > (1 + SAME_SIZE) * min(sizes):
        each = [", ".join(f"{metres:.3g} m" for metres in s.resolutions) or "unknown" for s in sets]
        raise InputError(
            f"The windows have pixels of different sizes ({_listed(sets, each)}), but a segmentation model "
            "learns how large fields are in pixels.",
            "Train a model for each.",
        )


def _facts(extra: Mapping[str, Any], n_regions: int) -> dict[str, Any]:
    """What writers keep beside the windows; an unknown fact stays unknown."""
    series = list(extra.get("series") or [])
    years = extra.get("season_years") or [one.get("season_year") for one in series]
    names = extra.get("regions") or [one.get("title", "") for one in series]
    folds = extra.get("folds")
    if folds is not None and len(folds) < n_regions:
        raise ValueError(f"{len(folds)} folds for {n_regions} regions")
    parameters = dict(extra.get("parameters") or {})
    infos = list(extra.get("classes") or [])
    return {
        "names": _of_each([str(name) for name in names], n_regions, ""),
        "season_years": _of_each([None if y is None else int(y) for y in years], n_regions, None),
        "folds": None if folds is None else tuple(int(fold) for fold in folds),
        "resolutions": tuple(sorted({float(metres) for metres in extra.get("resolutions") or []})),
        "mask_clouds": bool(extra.get("mask_clouds", parameters.get("mask_clouds", True))),
        "codes": {str(one["name"]): tuple(map(str, one["codes"])) for one in infos},
        "colors": {str(one["name"]): str(one["color"]) for one in infos},
        "made_by": str(extra.get("made_by", "")),
        "series": tuple(series),
    }


def _of_each(values: Sequence[Any], n: int, unknown: Any) -> tuple[Any, ...]:
    return (*values[:n], *([unknown] * (n - len(values))))


def _listed(sets: Sequence[WindowData], each: Sequence[str]) -> str:
    return "; ".join(f"{one.name}: {text}" for one, text in zip(sets, each, strict=True))
