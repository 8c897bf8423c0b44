"""Report of a trained segmentation model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sits_engine.learning.segmentation.summary import SegmentationReportData, SegmentClassRow
from sits_engine.learning.summary import SPLITS
from sits_engine.report import words
from sits_engine.report.calibration import calibration_section
from sits_engine.report.page import Column, Figure, Page, Section, Table, Tile, write_page
from sits_engine.report.plots import bars, confusion, maps, stages, windows
from sits_engine.report.profiles import profiles_section

#: Words for the zones of the test pixels.
ZONES = {"all": "all labelled pixels", "boundary": "at borders", "interior": "inside of fields"}
#: Kinds of splits whose test side is land apart from that of training.
APART = ("blocks", "regions", "folds")
#: Kinds of splits: what went to one side, and what that means for the scores.
SPLIT_WORDS = {
    "blocks": "Whole blocks of land{size} went to training, validation or test.",
    "windows": "Windows were drawn at random, without regard to their neighbours.",
    "regions": "Whole regions went to training, validation or test.",
    "folds": "The folds that the data set comes with went to training, validation or test.",
    "tiles": "Every window was cut into tiles that went to training, validation or test: the sides lie "
    "beside each other, often in one field.",
}


def write_segmentation_report(path: Path, data: SegmentationReportData) -> Path:
    """Write the HTML report to `path` and its numbers beside it; returns the path of the numbers.

    Raises:
        EngineError: OUTPUT_NOT_WRITABLE.
    """
    return write_page(path, segmentation_page(data), data.as_json())


def segmentation_page(data: SegmentationReportData) -> Page:
    """The page: sentences, pictures, borders, classes, similarity, calibration, split, curves, provenance."""
    scores = data.scores
    tested = int(data.confusion.sum())
    tiles = [
        Tile(words.score(scores.get("miou")), "mean IoU", "mean over the classes, each counts alike"),
        Tile(words.percent(scores.get("accuracy"), 1), "accuracy", f"of {words.count(tested)} test pixels"),
        Tile(
            words.percent(scores.get("boundary_accuracy"), 1),
            "accuracy at borders",
            f"inside of fields {words.percent(scores.get('interior_accuracy'), 1)}",
        ),
        Tile(
            words.score(scores.get("boundary_f1_1px")),
            "border F1, 1 pixel",
            f"precision {words.score(scores.get('boundary_precision_1px'))}, recall "
            f"{words.score(scores.get('boundary_recall_1px'))}; within 2 pixels "
            f"{words.score(scores.get('boundary_f1_2px'))}",
        ),
    ]
    trust = calibration_section(
        data.reliability_before, data.reliability_after, scores, data.temperature, "pixels"
    )
    sections = [
        _pictures(data),
        _borders(data),
        _accuracy(data),
        _profiles(data),
        _similarity(data),
        trust,
        _split(data),
        _curves(data),
    ]
    size = "" if data.pixel_size is None else f", pixels of {data.pixel_size:g} m"
    finer = "" if data.scale == 1 else f" ({data.scale} times finer than the images)"
    return Page(
        kind="Training report",
        title=data.title,
        subtitle=f"{words.count(len(data.split))} {_places(data)}, {len(data.classes)} classes{size}{finer}",
        sentences=sentences(data),
        tiles=tiles,
        sections=[section for section in sections if section is not None],
        provenance={
            "Inputs": words.facts(data.provenance),
            "Parameters": words.facts(data.parameters),
            "Left out or repaired": {str(i): note for i, note in enumerate(data.notes, start=1)},
        },
        warnings=data.warnings,
    )


def sentences(data: SegmentationReportData) -> list[str]:
    """A few sentences: how often it is right, how much worse at borders, where it fails, what limits it."""
    tested = int(data.confusion.sum())
    known = [row for row in data.classes if row.iou is not None]
    if not tested:
        return ["No labelled pixels were left for a test, so nothing can be said about the accuracy."]
    if not known:
        return [
            f"Only {words.count(tested)} labelled pixels could be held out for a test: too few to say how "
            "accurate this model is. Label more fields."
        ]
    where = (
        "on land that training never saw"
        if data.split_kind in APART
        else "that training never saw, often beside pixels that it did see"
    )
    out = [
        f"Of the labelled pixels {where}, the model named the right class for "
        f"{words.of_hundred(int(np.trace(data.confusion)) / tested)}."
    ]
    zones = {row.zone: row for row in data.zones if row.pixels}
    if "boundary" in zones and "interior" in zones:
        border, inner = zones["boundary"], zones["interior"]
        out.append(
            f"At borders it is right for {words.of_hundred(border.accuracy)}, inside of fields for "
            f"{words.of_hundred(inner.accuracy)}; "
            f"{words.percent(border.pixels / (border.pixels + inner.pixels))} "
            "of the test pixels lie at borders."
        )
    near = {row.distance: row for row in data.borders}
    if 1 in near and np.isfinite(near[1].recall) and np.isfinite(near[1].precision):
        far = f" ({words.percent(near[2].recall)} within two)" if 2 in near else ""
        out.append(
            f"{words.percent(near[1].recall)} of the true borders between crops lie within one pixel of a "
            f"border of the map{far}, and {words.percent(near[1].precision)} of the map's borders within one "
            "pixel of a true one."
        )
    best, worst = max(known, key=_iou), min(known, key=_iou)
    mistake = words.worst_confusion(data.confusion, [row.name for row in data.classes])
    if best is not worst:
        out.append(
            f"It knows {best.name} best (IoU {words.score(best.iou)}) and {worst.name} least "
            f"(IoU {words.score(worst.iou)})"
            + (f"; its most frequent mistake is {mistake}." if mistake else ".")
        )
    untested = [row.name for row in data.classes if row.pixels.get("test", 0) == 0]
    if untested:
        out.append(f"No test pixels were there for {words.listing(untested)}.")
    out.append(
        "Pixels of one field are no independent witnesses: the figures are less certain than so many pixels "
        "suggest. They hold for this region and season; expect less elsewhere."
        if data.split_kind in APART
        else "The test pixels lie beside training pixels, often in the same field: the figures show that the "
        "model has learned, not how good a map of other land will be."
    )
    return out


def _iou(row: SegmentClassRow) -> float:
    return -1.0 if row.iou is None else row.iou


def _places(data: SegmentationReportData) -> str:
    """What `split` counts."""
    return "tiles of windows" if data.split_kind == "tiles" else "windows"


def _shown(data: SegmentationReportData) -> list[windows.WindowPictures]:
    return [
        windows.WindowPictures(e.title, e.picture, e.picture_words, e.truth, e.found, e.similarity)
        for e in data.examples
    ]


def _pictures(data: SegmentationReportData) -> Section | None:
    if not data.examples:
        return None
    names = [row.name for row in data.classes]
    picture = windows.class_windows("windows", _shown(data), names, [row.color for row in data.classes])
    places = words.listing([e.title for e in data.examples])
    inside = data.split_kind == "tiles"
    which = (
        "Windows with test tiles; labels of all tiles are shown." if inside else "Windows of the test side."
    )
    return Section(
        "Truth beside map",
        [
            Figure(
                picture,
                f"Image, truth, map and mistakes of {len(data.examples)} windows ({places}).",
                f"{which} The map names a crop everywhere, also where there is no label; there nothing can "
                "be called right or wrong.",
            )
        ],
    )


def _borders(data: SegmentationReportData) -> Section | None:
    if not data.zones or not data.borders:
        return None
    zones = Table(
        [
            Column("test pixels"),
            *(Column(name, True) for name in ("pixels", "accuracy", "mean IoU", "macro-F1")),
        ],
        [
            [
                ZONES.get(row.zone, row.zone),
                words.count(row.pixels),
                words.percent(row.accuracy, 1),
                words.score(row.miou, 3),
                words.score(row.macro_f1, 3),
            ]
            for row in data.zones
        ],
        "At borders: the three by three pixels around it hold more than one class, or labelled and "
        "unlabelled land.",
    )
    first = data.borders[0]
    ratio = f" The map has {words.count(first.found)} border pixels, the truth {words.count(first.true)}."
    found = Table(
        [Column("borders within"), *(Column(name, True) for name in ("precision", "recall", "F1"))],
        [
            [
                f"{row.distance} pixel{'s' if row.distance > 1 else ''}{_metres(data, row.distance)}",
                *(words.score(value, 3) for value in (row.precision, row.recall, row.f1)),
            ]
            for row in data.borders
        ],
        "Precision: share of the map's borders near a true one. Recall: share of the true borders near one "
        "of the map, which a speckled map gets for nothing: F1 says something only where precision does. "
        f"Only borders between two labelled pixels count.{ratio if first.true else ''}",
    )
    return Section("How well it draws borders", [zones, found])


def _metres(data: SegmentationReportData, pixels: int) -> str:
    return "" if data.pixel_size is None else f" ({pixels * data.pixel_size:g} m)"


def _accuracy(data: SegmentationReportData) -> Section:
    names = [row.name for row in data.classes]
    colors = [row.color for row in data.classes]

    def numbers(attribute: str) -> list[float]:
        return [np.nan if (v := getattr(row, attribute)) is None else float(v) for row in data.classes]

    items: list[Figure | Table] = []
    if data.confusion.sum() and any(row.iou is not None for row in data.classes):
        items += [
            Figure(
                confusion.confusion_matrix(
                    "confusion", data.confusion, names, "true class (pixels)", "class by the model"
                ),
                "Confusion matrix of the test pixels; the table below holds the scores of each class.",
                "Test pixels: count, and share of the row. What lies off the framed diagonal is wrong.",
            ),
            Figure(
                bars.class_scores(
                    "scores", names, colors, numbers("f1"), numbers("precision"), numbers("recall")
                ),
                "F1, precision and recall of each class; the same figures are in the table below.",
                "F1 is high only where both precision and recall are.",
            ),
        ]
    what, note = _counted(data)
    columns = [Column("Class"), Column(what, True), *(Column(f"{side} pixels", True) for side in SPLITS)]
    columns += [Column(name, True) for name in ("IoU", "precision", "recall", "F1")]
    columns.append(Column("codes"))
    rows = [
        [
            row.name,
            words.count(row.parcels),
            *(words.count(row.pixels.get(side, 0)) for side in SPLITS),
            *(words.score(value) for value in (row.iou, row.precision, row.recall, row.f1)),
            words.listing([str(code) for code in row.codes], 6),
        ]
        for row in data.classes
    ]
    items.append(Table(columns, rows, note, colors=colors))
    return Section("How well it does on each class", items)


def _counted(data: SegmentationReportData) -> tuple[str, str]:
    """What the column beside the class counts, as a heading and, where it needs one, as a sentence."""
    if data.provenance.get("parcels"):
        return "parcels", ""
    said = "Patches are connected pixels of one class; one that reaches into two windows counts in both."
    if data.provenance.get("labels"):
        return "patches", said
    return "parcels or patches", f"Parcels where the data set numbers them. {said}"


def _profiles(data: SegmentationReportData) -> Section | None:
    if data.profiles is None:
        return None
    names, colors = [row.name for row in data.classes], [row.color for row in data.classes]
    return profiles_section(data.profiles, names, colors, "the clear labelled pixels for training")


def _similarity(data: SegmentationReportData) -> Section | None:
    known = [e for e in _shown(data) if np.isfinite(e.similarity).any()]
    if not known:
        return None
    picture = windows.similarity_windows("similarity", known[:4], [row.color for row in data.classes])
    return Section(
        "What the network takes for alike",
        [
            Figure(
                picture,
                f"Truth and similarity of neighbours in {len(known[:4])} test windows: {data.similarity_of}.",
                "Dark: the pixel is unlike its neighbours. Where training went well, dark lines follow the "
                "borders of fields. The outermost pixels of a window are dark because they lack neighbours.",
            )
        ],
        [f"{data.similarity_of[:1].upper()}{data.similarity_of[1:].rstrip('.')}."]
        if data.similarity_of
        else [],
    )


def _split(data: SegmentationReportData) -> Section:
    size = f" of {data.block_size:g} m" if data.block_size else ""
    uses = ("fits the weights", "chooses the weights, sets the confidence", "gives the figures above")
    table = Table(
        [
            Column("part"),
            Column(_places(data), True),
            Column("labelled pixels", True),
            Column("what it is for"),
        ],
        [
            [
                side,
                words.count(int((data.split == i).sum())),
                words.count(sum(row.pixels.get(side, 0) for row in data.classes)),
                use,
            ]
            for i, (side, use) in enumerate(zip(SPLITS, uses, strict=True))
        ],
    )
    items: list[Figure | Table] = [table]
    if len(data.xy) and np.isfinite(data.xy).all(axis=1).any():
        where = maps.split_map("split", data.xy, data.split, SPLITS)
        items.insert(0, Figure(where, f"Map of the {_places(data)} of training, validation and test."))
    text = SPLIT_WORDS.get(data.split_kind, "").format(size=size)
    return Section("Which land was used for what", items, [text] if text else [], beside=True)


def _curves(data: SegmentationReportData) -> Section | None:
    items: list[Figure | Table] = []
    if data.pretraining:
        rows = data.pretraining
        picture = stages.pretraining_curves(
            "pretraining",
            [r.epoch for r in rows],
            ([r.train_loss for r in rows], [r.validation_loss for r in rows]),
            ([r.positive for r in rows], [r.negative for r in rows]),
        )
        items.append(
            Figure(
                picture,
                f"Contrastive loss and similarity of neighbours over {len(rows)} epochs of pre-training.",
                "First stage (CSCL). Neighbours of the same class should become alike (1), those of "
                "different classes unlike (below 0).",
            )
        )
    if data.epochs:
        epochs = data.epochs
        picture = stages.training_curves(
            "curves",
            [e.epoch for e in epochs],
            data.best_epoch,
            ([e.train_loss for e in epochs], [e.validation_loss for e in epochs]),
            ([e.validation_miou for e in epochs], [e.validation_accuracy for e in epochs]),
        )
        items.append(
            Figure(
                picture,
                f"Loss and scores over {len(epochs)} epochs; epoch {data.best_epoch} was kept.",
                ("Second stage. " if data.pretraining else "")
                + f"The weights of epoch {data.best_epoch} were kept: the best mean IoU on the validation "
                "side, averaged over three epochs.",
            )
        )
    return Section("How training went", items) if items else None
