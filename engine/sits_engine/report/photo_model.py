"""Report of a satellite encoder that learned from photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sits_engine.learning.timesenclip.summary import SIDES, PhotoReportData
from sits_engine.report import words
from sits_engine.report.page import Column, Figure, Page, Section, Table, Tile, write_page
from sits_engine.report.plots import maps, photo_curves

#: What the images of a year are reduced to.
STEP_WORDS = {12: "12 months", 4: "4 quarters", 1: "1 median of the year"}
#: What each side of the split is for.
USES = ("fits the weights", "chooses when to stop", "gives the figures above")
#: Fewer test places than this say little.
FEW = 50
#: With as few test places, ten answers are all of them.
ANSWERS = 10
#: Guessing gets as good as this with at most this probability, before a model counts as better than it:
#: one side of a 95 % interval, shared by the recall at 1, 5 and 10 (Bonferroni).
LUCK = 0.025 / 3


def write_photo_model_report(path: Path, data: PhotoReportData) -> Path:
    """Write the HTML report to `path` and its numbers beside it; returns the path of the numbers.

    Raises:
        EngineError: OUTPUT_NOT_WRITABLE.
    """
    return write_page(path, photo_model_page(data), data.as_json())


def photo_model_page(data: PhotoReportData) -> Page:
    """The page: sentences, retrieval on the test places, curve, places, images, limits, provenance."""
    train, _, test = data.counts
    photos = int(data.photos_per_place.sum())
    tiles = [
        Tile(words.count(len(data.side)), "places", f"{words.count(train)} of them for training"),
        Tile(words.count(photos), "photos", f"{photos / len(data.side):.1f} a place"),
    ]
    if 12 in data.steps:
        one, _, ten = data.steps[12].recall
        chance = f"chance {words.percent(1 / test, 1)}"
        tiles.append(Tile(words.percent(one), "partner found at once", f"of {words.count(test)}; {chance}"))
        if test > ANSWERS:
            chance = f"chance {words.percent(ANSWERS / test, 1)}"
            tiles.append(Tile(words.percent(ten), "partner among the first ten", chance))
    sections = [_retrieval(data), _curves(data), _places(data), _material(data)]
    limits = Section(
        "What these figures can't tell",
        [],
        [
            "A place counts as found only by its own photos. Where many places look alike, such as fields of "
            "the same crop, the right landscape at another place counts as a miss: how well classes are told "
            "apart is measured by 'Evaluate photo model'.",
            f"What the model can know is what {data.clip} sees in photos. It has learned the looks of this "
            "region and season; elsewhere expect less until it has been measured there.",
        ],
    )
    return Page(
        kind="Photo model",
        title=data.title,
        subtitle=f"{words.count(len(data.side))} places, {words.count(photos)} photos, {data.clip}, "
        f"{data.n_bands} bands, {_context(data)}",
        sentences=sentences(data),
        tiles=tiles,
        sections=[section for section in (*sections, limits) if section is not None],
        provenance={
            "Inputs": words.facts(data.provenance),
            "Parameters": words.facts(data.parameters),
            "Training": words.facts(
                {
                    "seconds": round(data.seconds, 1),
                    "places a second": round(data.samples_per_second),
                    "parameters of the network": data.n_parameters,
                    "scale of cosines": round(data.scale, 2),
                }
            ),
            "Left out or repaired": {str(i): note for i, note in enumerate(data.notes, start=1)},
        },
        warnings=list(dict.fromkeys([*data.warnings, *nothing_learned(data)])),
    )


def nothing_learned(data: PhotoReportData) -> list[str]:
    """A warning where retrieval on the test places can't be told from guessing; [] where it can, or no test.

    Exact binomial tests. Both directions ask about the same places, so their mean counts as one series of
    draws, one a place.
    """
    from scipy.special import bdtrc

    found, test = data.steps.get(12), data.counts[2]
    if found is None:
        return []
    for k, share in zip((1, 5, ANSWERS), found.recall, strict=True):
        # chance of as many partners or more
        if k < test and share > 0 and bdtrc(round(share * test) - 1, test, k / test) < LUCK:
            return []
    few = " With so few test places, it may also be better than this shows." if test < FEW else ""
    return [
        "The model has not learned anything usable: on the test places it finds partners no better than "
        f"guessing, within the uncertainty of {words.count(test)} places.{few} Check that photos and images "
        "are of the same places and the same year, and that the photos show the ground, then try more places "
        "(some hundreds) and more effort."
    ]


def sentences(data: PhotoReportData) -> list[str]:
    """Three to five sentences: what was learned from what, how well it works, what limits the figure."""
    test = data.counts[2]
    out = [
        "The model turns the images of a place into a vector of the same kind as those that "
        f"{data.clip} makes of photos and of words. It learned from {words.count(data.counts[0])} places."
    ]
    found = data.steps.get(12)
    if found is None:
        out.append("No places were held out, so nothing can be said about how well it works.")
        return out
    where = (
        "in parts of the region that training never saw"
        if data.split_kind == "blocks"
        else "that training never saw, often beside places that it did see"
    )
    one, _, ten = found.recall
    tens = test > ANSWERS
    of_ten = f" and among the first ten for {words.of_hundred(ten)}" if tens else ""
    guess_ten = f" and {words.of_hundred(ANSWERS / test)}" if tens else ""
    out.append(
        f"Among {words.count(test)} places {where}, the images of a place find its own photos, and the "
        f"photos its images, at once for {words.of_hundred(one)}{of_ten}; guessing would give "
        f"{words.of_hundred(1 / test)}{guess_ten}."
    )
    if nothing_learned(data):
        out.append("That is no better than guessing: the model has not learned anything usable.")
    elif 1 in data.steps:
        year = data.steps[1].recall
        year_ten = f" and {words.of_hundred(year[2])}" if tens else ""
        out.append(
            "With one median image of the year instead of twelve months it is "
            f"{words.of_hundred(year[0])}{year_ten}."
        )
    if test < FEW:
        out.append(f"So few test places ({test}) say little: take these figures as a rough guide.")
    return out


def _context(data: PhotoReportData) -> str:
    return "single pixels" if data.context == 1 else f"{data.context} x {data.context} pixels"


def _retrieval(data: PhotoReportData) -> Section | None:
    if not data.steps:
        return None
    columns = [Column("Images of a place")]
    for way in ("photos found", "images found"):
        columns += [Column(f"{way}: first", True), Column("of 5", True), Column("of 10", True)]
    rows = [
        [
            STEP_WORDS[steps],
            *(words.percent(v, 1) for v in found.to_photos),
            *(words.percent(v, 1) for v in found.to_images),
        ]
        for steps, found in data.steps.items()
    ]
    n = data.counts[2]
    guess = [words.percent(min(1.0, k / n), 1) for k in (1, 5, 10)]
    rows.append(["chance", *guess, *guess])
    return Section(
        "How well images and photos find each other on the test places",
        [Table(columns, rows)],
        [
            "Share of the test places whose own partner comes first, among the first five and ten: photos by "
            "the images of a place, and images by the photos of a place."
        ],
    )


def _curves(data: PhotoReportData) -> Section | None:
    if not data.epochs:
        return None
    validation = data.counts[1]
    picture = photo_curves.photo_curves(
        "curves", data.epochs, data.best_epoch, 1 / validation if validation else None
    )
    kept = (
        f"The weights of epoch {data.best_epoch} were kept: the best mean reciprocal rank of the partner on "
        f"{words.count(validation)} validation places, mean of three epochs."
        if validation
        else "The last weights were kept: there are no validation places."
    )
    alt = f"Loss and retrieval over {len(data.epochs)} epochs; epoch {data.best_epoch} was kept."
    return Section("How training went", [Figure(picture, alt, f"{kept} {data.masking}")])


def _places(data: PhotoReportData) -> Section | None:
    size = f" of {data.block_size:g} m" if data.block_size else ""
    if data.split_kind == "none":
        return None
    text = (
        f"Whole blocks{size} went to one side, so that a test place rarely has a training place as neighbour."
        if data.split_kind == "blocks"
        else "Places were drawn at random, without regard to their neighbours."
    )
    rows = [
        [name, words.count(count), words.count(int(data.photos_per_place[data.side == i].sum())), use]
        for i, (name, count, use) in enumerate(zip(SIDES, data.counts, USES, strict=True))
    ]
    columns = [Column("part"), Column("places", True), Column("photos", True), Column("what it is for")]
    items: list[Figure | Table] = [Table(columns, rows)]
    if np.isfinite(data.xy).all(axis=1).any():
        picture = maps.split_map("split", data.xy, data.side, SIDES)
        items.insert(0, Figure(picture, "Map of the training, validation and test places."))
    return Section("Which places were used for what", items, [text], beside=True)


def _material(data: PhotoReportData) -> Section:
    months = photo_curves.months_clear("months", data.months)
    photos = photo_curves.photos_of_places("photos", data.photos_per_place)
    worst = [words.percent(share) for share in (data.months.min(), data.months.max())]
    return Section(
        "What it learned from",
        [
            Figure(months, f"Share of clear places by month, between {worst[0]} and {worst[1]}."),
            Figure(photos, f"Numbers of photos a place, {int(data.photos_per_place.max())} at most."),
        ],
        [
            "Images are the medians of the clear observations of each calendar month. A month that was never "
            "clear at a place is hidden from the network, not filled."
        ],
        beside=True,
    )
