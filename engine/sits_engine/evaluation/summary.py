"""What the assessment report shows, as plain data: `report/assessment.py` renders it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ClassScores:
    """Accuracy of one class, counted on the compared units (pixels, points or parcels).

    Attributes:
        name: class name.
        color: '#rrggbb'.
        n_map: units that the map gives this class.
        n_reference: units that the reference gives this class.
        precision: share of `n_map` that is right (user's accuracy), NaN where `n_map` is 0.
        recall: share of `n_reference` that was found (producer's accuracy), NaN where it is 0.
        f1: harmonic mean of the two; 0 where nothing is right, NaN where the class occurs nowhere.
    """

    name: str
    color: str
    n_map: int
    n_reference: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Interval:
    """An estimate with the half width of its 95 % confidence interval (NaN where it can't be known)."""

    value: float
    half_width: float


@dataclass(frozen=True)
class AdjustedClass:
    """Area-adjusted figures of one class (Olofsson et al. 2014).

    Attributes:
        mapped_ha: area that the map shows.
        area_ha: unbiased estimate of the true area.
        n_samples: reference units that fell in the mapped class.
        users, producers: accuracies as shares of area, 0..1.
    """

    name: str
    color: str
    mapped_ha: float
    area_ha: Interval
    n_samples: int
    users: Interval
    producers: Interval


@dataclass(frozen=True)
class AdjustedOther:
    """True area of a class of the reference that the map doesn't have."""

    name: str
    area_ha: Interval


@dataclass(frozen=True)
class AdjustedAccuracy:
    """Area-adjusted accuracy of the whole map.

    Attributes:
        overall: share of the area that is mapped right, 0..1.
        classes: one entry a class, in the order of the report's classes.
        total_ha: area that the estimate covers.
        probability_sample: True if the reference was drawn at random (points of a random design). False
            for rasters: then the intervals describe the spread within the reference only, and the report
            must say so beside every adjusted figure. Polygons and points of unknown origin have none.
        note: one sentence about the design, for the report.
        other_classes: of the reference, not of the map.
    """

    overall: Interval
    classes: list[AdjustedClass]
    total_ha: float
    probability_sample: bool
    note: str
    other_classes: list[AdjustedOther] = field(default_factory=list)


@dataclass(frozen=True)
class Thumbnail:
    """A small picture of the map.

    Attributes:
        values: (h, w) uint8, 0 nodata, i = i-th class of the report.
        bounds: xmin, ymin, xmax, ymax in `crs`.
        crs: name for people, e.g. 'EPSG:32631'.
    """

    values: npt.NDArray[np.uint8]
    bounds: tuple[float, float, float, float]
    crs: str


@dataclass
class AssessmentReportData:
    """Everything that the report of an assessment shows.

    Attributes:
        title: heading, e.g. 'Accuracy of crops.tif'.
        unit: what was counted: 'pixels', 'points' or 'parcels'.
        classes: names; place i has value i + 1 in `thumbnail`.
        colors: '#rrggbb', one a class.
        confusion: (K, K + E) int64, rows = map, columns = reference: `classes`, then `other_classes`.
        overall_accuracy, macro_f1, weighted_f1, kappa: shares 0..1 (kappa -1..1).
        per_class: one entry a class.
        n_compared: reference units compared.
        n_unmapped: reference units where the map has no value (left out).
        unmatched: reference labels that no class of the map answers to, with their counts (left out).
        other_classes: classes of the reference that the map doesn't have; they count as its mistakes.
        mapped_ha: area of each class as counted on the map.
        adjusted: None if the areas could not be adjusted.
        not_adjusted: why, and the way out; '' if they are.
        parcel_confusion: (K, K) like `confusion` but one count a parcel (majority of its pixels).
        parcel_scores: overall_accuracy, macro_f1, kappa, n of `parcel_confusion`.
        thumbnail: picture of the map.
        reference_xy: (N, 2) float64 centres of the compared units in the map's CRS (at most 2000 shown).
        reference_right: (N,) bool, unit right (majority for parcels); same order as `reference_xy`.
        provenance: name -> text: files, parameters, versions, duration.
        warnings: sentences for the reader.
    """

    title: str
    unit: str
    classes: list[str]
    colors: list[str]
    confusion: npt.NDArray[np.int64]
    overall_accuracy: float
    macro_f1: float
    weighted_f1: float
    kappa: float
    per_class: list[ClassScores]
    n_compared: int
    n_unmapped: int = 0
    unmatched: dict[str, int] = field(default_factory=dict)
    other_classes: list[str] = field(default_factory=list)
    mapped_ha: list[float] = field(default_factory=list)
    adjusted: AdjustedAccuracy | None = None
    not_adjusted: str = ""
    parcel_confusion: npt.NDArray[np.int64] | None = None
    parcel_scores: dict[str, float] = field(default_factory=dict)
    thumbnail: Thumbnail | None = None
    reference_xy: npt.NDArray[np.float64] | None = None
    reference_right: npt.NDArray[np.bool_] | None = None
    provenance: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def numbers(self) -> dict[str, Any]:
        """The figures as JSON-serialisable values (no picture, no coordinates; NaN becomes None)."""
        kept = {
            name: value
            for name, value in self.__dict__.items()
            if name not in ("thumbnail", "reference_xy", "reference_right", "per_class", "adjusted")
        }
        kept["confusion_axes"] = "rows = map (classes), columns = reference (classes, then other_classes)"
        kept["per_class"] = [asdict(scores) for scores in self.per_class]
        kept["adjusted"] = None if self.adjusted is None else asdict(self.adjusted)
        cleaned: dict[str, Any] = _plain(kept)
        return cleaned


def _plain(value: Any) -> Any:
    """`value` with arrays as lists and NaN as None, so that strict JSON readers take it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
