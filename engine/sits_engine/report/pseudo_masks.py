"""Report of masks that were made from ticks in windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sits_engine.learning.exact.options import PATCH
from sits_engine.learning.exact.summary import (
    ExactClassRow,
    PseudoMaskReportData,
)
from sits_engine.report import words
from sits_engine.report.mask_truth import compared_columns, others_after, others_beside, truth_section
from sits_engine.report.page import Column, Figure, Page, Section, Table, Tile, write_page
from sits_engine.report.plots import exact_curves, masks

#: Of the polygons: a crop ticked in more, or in fewer than so many polygons, is hard to learn.
OFTEN, SELDOM = 0.8, 15
#: What a map is made from, in words.
MAPS = {
    "clues": "how much closer the series of a place is to examples of the crop than to examples of land "
    "without it (prototypes that training formed)",
    "plain": "the activation maps of the network (plain CAM, for comparison)",
}
#: What masks of this kind can't show, whatever the numbers say.
LIMITS = (
    "A tick says that a crop is somewhere in the polygon. Crops that nearly always come together, or a crop "
    "and what always lies beside it, can't be told apart from ticks.",
    "In each polygon the scores of a ticked crop are stretched to reach 1, so a crop that was ticked by "
    "mistake may get pixels, and one that was forgotten gets none.",
    f"Maps have one score for {PATCH} x {PATCH} pixels. Fields that are not much wider, and single trees, "
    "hedges and roads, are lost.",
    "The confidence compares the two best classes of a pixel. It says where the choice was close, not how "
    "often it is right: it is no probability.",
)
#: What follows the threshold where masks were sharpened.
SHARPENED = (
    "The masks were then sharpened: a small classifier of single pixels learned from all masks together and "
    "drew them anew, in some rounds. Errors differ from window to window, what a crop looks like over the "
    "season doesn't, so it learns the crops and not the errors. Its answer counts together with the maps, "
    "and only ticked crops can win. A crop that would be left with less than a quarter of its pixels keeps "
    "those that the maps gave it, and a warning names it. Where the maps are wrong in the same way "
    "everywhere, it repeats that. With few windows it has little to learn from: compare with masks without "
    "it."
)


def write_pseudo_mask_report(path: Path, data: PseudoMaskReportData) -> Path:
    """Write the HTML report to `path` and its numbers beside it; returns the path of the numbers.

    Raises:
        EngineError: OUTPUT_NOT_WRITABLE.
    """
    return write_page(path, pseudo_mask_page(data), data.as_json())


def pseudo_mask_page(data: PseudoMaskReportData) -> Page:
    """The page: sentences, pictures, ticks and masks, threshold, pixel labels, curves, limits, provenance."""
    crops = data.classes[:-1]
    used = data.n_pixels - data.unlabelled
    tiles = [
        Tile(words.count(used), "pixels with a label", _area_note(data, used)),
        Tile(
            words.percent(data.scores.get("mean_confidence")), "mean confidence", "no probability, see below"
        ),
    ]
    if data.n_held:
        tiles.append(
            Tile(
                words.score(data.scores.get("map_macro")),
                "average precision of ticks",
                f"mean over {_ranked(data)}, on {words.count(data.n_held)} polygons held out",
            )
        )
    if data.truth is not None:
        tiles.append(
            Tile(
                words.score(data.truth.scores.get("miou")),
                "mean IoU of the masks",
                others_beside(data.truth),
            )
        )
    size = "" if data.pixel_size is None else f", pixels of {data.pixel_size:g} m"
    sections = [
        _pictures(data),
        _shares(data),
        _counts(data),
        _threshold(data),
        truth_section(data),
        _curves(data),
        Section("What these masks can't tell", [], list(LIMITS)),
    ]
    return Page(
        kind="Masks from ticks",
        title=data.title,
        subtitle=f"{words.count(data.n_polygons)} polygons, {words.count(data.n_windows)} windows, "
        f"{len(crops)} crops{size}",
        sentences=sentences(data),
        tiles=tiles,
        sections=[section for section in sections if section is not None],
        provenance={
            "Inputs": words.facts(data.provenance),
            "Parameters": words.facts(data.parameters),
            "Seconds": words.facts(data.seconds),
            "Left out or repaired": {str(i): note for i, note in enumerate(data.notes, start=1)},
        },
        warnings=[*data.warnings, *doubts(data)],
    )


def sentences(data: PseudoMaskReportData) -> list[str]:
    """A few sentences: what was made from what, how sure the ticks are found, how good masks are if known."""
    crops, used = data.classes[:-1], data.n_pixels - data.unlabelled
    n_ticks = sum(row.ticked or 0 for row in crops)
    out = [
        f"From {words.count(n_ticks)} ticks in {words.count(data.n_polygons)} polygons alone, "
        f"{words.count(used)} pixels{_area(data, used)} got a label; no pixel label had a part in it."
    ]
    if data.unlabelled:
        out.append(
            f"{words.percent(data.unlabelled / data.n_pixels)} of the pixels inside of the polygons were "
            "left unlabelled because the choice was close."
        )
    known = data.scores.get("map_macro")
    if data.n_held and known is not None and np.isfinite(known):
        by = [row for row in crops if row.average_precision is not None]
        out.append(
            f"Shown {words.count(data.n_held)} polygons that it had not learned from, the network ranks "
            "those with a crop before those without it with a mean average precision of "
            f"{words.score(known)} over {_ranked(data)} (1 would be without a mistake)"
            + _best_and_worst(by)
            + ". That says whether crops are recognised, not whether "
            "borders are right."
        )
    if data.truth is None:
        out.append(
            "How many pixels are right is not known: no pixel labels were given. A few labelled fields, "
            "given for the report only, would tell."
        )
        return out
    truth = data.truth
    out.append(
        f"Compared with {words.count(truth.pixels)} labelled pixels of {truth.reference}, which nothing was "
        f"learned from or chosen by, {words.of_hundred(truth.scores.get('accuracy', 0.0))} have the right "
        f"label; mean IoU {words.score(truth.scores.get('miou'))}" + others_after(truth)
    )
    mistake = words.worst_confusion(truth.confusion, [row.name for row in data.classes])
    if mistake:
        out.append(f"The most frequent mistake is {mistake}.")
    return out


def doubts(data: PseudoMaskReportData) -> list[str]:
    """What the numbers themselves warn of."""
    crops = data.classes[:-1]
    out = []
    gone = [row.name for row in crops if row.ticked and not row.pixels]
    if gone:
        out.append(f"Ticked, but in no mask: {words.listing(gone)}. Other classes won all of its pixels.")
    everywhere = [row.name for row in crops if (row.ticked or 0) > OFTEN * data.n_polygons]
    if everywhere:
        out.append(
            f"{words.listing(everywhere)}: ticked in more than {words.percent(OFTEN)} of the polygons, so "
            "that hardly anything shows how land without it looks. Smaller windows would."
        )
    few = [f"{row.name} ({row.ticked})" for row in crops if row.ticked and row.ticked < SELDOM]
    if few:
        out.append(f"Ticked in fewer than {SELDOM} polygons, learned badly at best: {words.listing(few)}.")
    return out


def _best_and_worst(rows: list[ExactClassRow]) -> str:
    if len(rows) < 2:
        return ""
    best = max(rows, key=lambda row: row.average_precision or 0.0)
    worst = min(rows, key=lambda row: row.average_precision or 0.0)
    return (
        f": {best.name} best ({words.score(best.average_precision)}), {worst.name} least "
        f"({words.score(worst.average_precision)})"
    )


def _ranked(data: PseudoMaskReportData) -> str:
    """'7 of 9 crops': those whose precision can be said."""
    crops = data.classes[:-1]
    known = sum(row.average_precision is not None for row in crops)
    return f"{known} of {len(crops)} crops" if known < len(crops) else "all crops"


def _area(data: PseudoMaskReportData, pixels: int) -> str:
    if data.pixel_size is None:
        return ""
    return f" ({words.hectares(pixels * data.pixel_size**2 / 1e4)})"


def _area_note(data: PseudoMaskReportData, pixels: int) -> str:
    share = words.percent(pixels / data.n_pixels) if data.n_pixels else "–"
    return f"{share} of the polygons{_area(data, pixels)}"


def _pictures(data: PseudoMaskReportData) -> Section | None:
    if not data.thumbnails:
        return None
    shown = masks.fitting(
        [
            masks.MaskPictures(
                one.title,
                one.picture,
                one.picture_words,
                [(a.name, a.color, a.values) for a in one.activations],
                one.mask,
                one.truth,
            )
            for one in data.thumbnails
        ]
    )
    picture = masks.mask_windows(
        "masks",
        shown,
        [row.name for row in data.classes],
        [row.color for row in data.classes],
        data.threshold,
    )
    places = words.listing([one.title for one in shown])
    told = any(one.truth is not None for one in shown)
    return Section(
        "From ticks to masks",
        [
            Figure(
                picture,
                f"Image, scores of the ticked crops, mask{' and truth' if told else ''} of {len(shown)} "
                f"windows ({places}).",
                "One window below the other, with the maps of all crops that are ticked in it. A pixel gets "
                "the crop with the highest score, if that exceeds the threshold. "
                + ("Then the masks were sharpened, see below. " if _sharpened(data) else "")
                + ("The truth is shown for comparison; nothing was learned from it." if told else ""),
            )
        ],
    )


def _shares(data: PseudoMaskReportData) -> Section:
    n = max(1, data.n_polygons)
    names, colors = [row.name for row in data.classes], [row.color for row in data.classes]
    pictures: list[Figure | Table] = [
        Figure(
            masks.ticks_and_shares(
                "shares",
                names,
                colors,
                [np.nan if row.ticked is None else row.ticked / n for row in data.classes],
                [row.share for row in data.classes],
            ),
            "Of each class: polygons in which it is ticked, and its share of the masks. The same figures "
            "stand in the table below.",
            "A crop with many ticks and few pixels, or the other way round, deserves a look.",
        )
    ]
    compared = compared_columns(data)
    columns = [
        Column("Class"),
        *(Column(c, True) for c in ("value", "polygons", "windows", "pixels", "share")),
    ]
    columns += [Column("average precision", True)] if data.n_held else []
    columns += [Column(what, True) for what, _ in compared]
    rows = []
    for row in data.classes:
        cells = [
            row.name,
            "–" if not row.value else str(row.value),
            "–" if row.ticked is None else words.count(row.ticked),
            "–" if row.windows is None else words.count(row.windows),
            words.count(row.pixels),
            words.percent(row.share, 1),
        ]
        cells += [_precision(row)] if data.n_held else []
        cells += [words.score(getattr(row, name)) for _, name in compared]
        rows.append(cells)
    caption = "Value: in the raster of masks. Polygons, windows: in which the crop is ticked. "
    caption += "Share: of the pixels inside of the polygons. " + (
        "Average precision: are polygons with the crop ranked first, on held-out polygons. "
        if data.n_held
        else ""
    )
    if data.n_held and any(row.average_precision is None for row in data.classes[:-1]):
        caption += "'In none', 'in all': of the held-out polygons, so that there is nothing to rank. "
    pictures.append(Table(columns, rows, caption.strip(), colors))
    return Section("Ticks and masks", pictures)


def _precision(row: ExactClassRow) -> str:
    """Average precision of a class, or why there is none."""
    if row.average_precision is not None or row.held is None:
        return words.score(row.average_precision)
    return "in all" if row.held else "in none"


def _counts(data: PseudoMaskReportData) -> Section:
    small: list[Figure | Table] = [
        Figure(
            masks.counts(
                "ticks",
                data.ticks.tolist(),
                [str(i) for i in range(len(data.ticks))],
                "Polygons by number of ticks",
                "crops ticked",
            ),
            "Polygons by the number of crops ticked in them.",
        ),
        Figure(
            masks.counts(
                "confidence",
                data.confidence.tolist(),
                [f"{10 * i}" for i in range(len(data.confidence))],
                "Pixels by confidence",
                "confidence (%), from",
            ),
            "Pixels of the masks by confidence.",
        ),
    ]
    return Section("How much was ticked, how close the choice was", small, beside=True)


def _threshold(data: PseudoMaskReportData) -> Section:
    affinity = (
        " Scores then flow between neighbours whose series are alike (affinity propagation)."
        if data.affinity
        else " Scores stay where they are: affinity propagation was off."
    )
    return Section(
        "How a pixel gets its label",
        [],
        [
            f"The score of a ticked crop is {MAPS.get(data.maps, data.maps)}.{affinity}",
            f"The threshold, which is the score of the background, is {words.score(data.threshold)}. "
            f"{data.threshold_words} A higher one leaves more land to the background, a lower one makes "
            "fields fatter.",
            *([SHARPENED] if _sharpened(data) else []),
        ],
    )


def _sharpened(data: PseudoMaskReportData) -> bool:
    return bool(data.parameters.get("refine"))


def _curves(data: PseudoMaskReportData) -> Section | None:
    if not data.epochs:
        return None
    start = (
        f" The dashed line marks epoch {data.contrast_from}, from which prototypes are pulled apart."
        if data.contrast_from
        else ""
    )
    return Section(
        "How training went",
        [
            Figure(
                exact_curves.exact_curves("curves", data.epochs, data.contrast_from),
                f"Losses and precision over {len(data.epochs)} epochs.",
                f"The weights of the last epoch were used; no curve chose anything.{start}",
            )
        ],
    )
