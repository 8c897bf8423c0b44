"""Report on a time series: where and when the ground was seen."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sits_engine.report import words
from sits_engine.report.page import Column, Figure, Page, Section, Table, Tile, write_page
from sits_engine.report.plots import bars, maps, profiles
from sits_engine.series.summary import SeriesReportData


def write_series_report(path: Path, data: SeriesReportData) -> Path:
    """Write the HTML report to `path` and its numbers beside it; returns the path of the numbers.

    Raises:
        EngineError: OUTPUT_NOT_WRITABLE.
    """
    return write_page(path, series_page(data), numbers(data))


def numbers(data: SeriesReportData) -> dict[str, Any]:
    """What the report shows, for programs."""
    return {
        "title": data.title,
        "dates": [date.isoformat() for date in data.dates],
        "bands": list(data.bands),
        "clear_share": data.clear_share,
        "data_share": data.data_share,
        "clear_observations": _quantiles(data),
        "profiles": [{"name": p.name, "x": p.x, "y": p.y, "values": p.values} for p in data.profiles],
        "scenes": data.scenes,
        "facts": dict(data.facts),
        "warnings": data.warnings,
    }


def _quantiles(data: SeriesReportData) -> dict[str, float]:
    """Clear observations a pixel: never seen (share), least, 10 %, median, 90 %, most."""
    counts = data.clear_count
    if counts.size == 0:
        return {}
    low, median, high = (float(v) for v in np.percentile(counts, [10, 50, 90]))
    return {
        "never": float((counts == 0).mean()),
        "least": float(counts.min()),
        "p10": low,
        "median": median,
        "p90": high,
        "most": float(counts.max()),
    }


def series_page(data: SeriesReportData) -> Page:
    """The page: sentences, when and where it was clear, profiles, scenes."""
    clear = float((data.data_share * data.clear_share).mean()) if len(data.dates) else 0.0
    gap = _longest_gap(data)
    tiles = [
        Tile(str(len(data.dates)), "dates", f"{data.dates[0]} to {data.dates[-1]}"),
        Tile(
            f"{data.clear_median:g}", "clear observations", "of the middle pixel among those ever seen clear"
        ),
        Tile(words.percent(clear), "clear on average", "share of the area over all dates"),
        Tile(f"{gap} days", "longest gap", "between dates with half of the area clear"),
    ]
    sections = [
        Section(
            "When it was clear",
            [
                Figure(
                    bars.date_bars("dates", data.dates, data.data_share, data.clear_share),
                    "Share of the area with data and clear on each date; numbers in the JSON file.",
                )
            ],
        )
    ]
    if data.clear_count.size:
        facts = Table([Column("pixel"), Column("clear observations", True)], _count_rows(data))
        figure = Figure(
            maps.clear_map("clear", data.clear_count),
            "Map of the number of clear observations.",
            "Stripes and edges come from the swaths of the satellite, blots from clouds.",
        )
        sections.append(Section("Where it was clear", [figure, facts], beside=True))
    if data.profiles:
        year = data.dates[len(data.dates) // 2].year
        label, _ = profiles.index_of(data.bands, np.stack([p.values for p in data.profiles]).astype(float))
        picture = profiles.point_profiles(
            "points",
            [p.name for p in data.profiles],
            data.dates,
            data.bands,
            [p.values for p in data.profiles],
            year,
        )
        caption = f"{label} on clear dates; short strokes at the bottom mark dates that were not clear."
        sections.append(Section("Profiles at points", [Figure(picture, f"{label} at points.", caption)]))
    if data.scenes:
        sections.append(_scenes(data))
    return Page(
        kind="Time series report",
        title=data.title,
        sentences=sentences(data),
        tiles=tiles,
        sections=sections,
        provenance={"The series": dict(data.facts)},
        warnings=data.warnings,
    )


def sentences(data: SeriesReportData) -> list[str]:
    """Three or four sentences: how much was seen, when not, and what that means for a map."""
    out = [
        f"The series has {len(data.dates)} dates from {data.dates[0]} to {data.dates[-1]} and "
        f"{len(data.bands)} bands; the middle pixel was seen clear {data.clear_median:g} times."
    ]
    useful = int(((data.data_share * data.clear_share) >= 0.5).sum())
    out.append(f"On {useful} of the dates at least half of the area was clear.")
    if len(data.dates) > 1:
        out.append(
            f"The longest time without such a date is {_longest_gap(data)} days; what grows or is harvested "
            "within it can't be seen."
        )
    spread = _quantiles(data)
    if spread.get("never"):
        share = words.percent(spread["never"], 1) if spread["never"] >= 0.001 else "Less than 0.1 %"
        out.append(f"{share} of the area was never seen clear; a map will stay empty there.")
    return out


def _longest_gap(data: SeriesReportData) -> int:
    """Days of the longest span without a date on which half of the area is clear, both ends included."""
    clear = data.data_share * data.clear_share >= 0.5
    days = [date.toordinal() for date, ok in zip(data.dates, clear, strict=True) if ok]
    ends = [data.dates[0].toordinal(), *days, data.dates[-1].toordinal()]
    return max((b - a for a, b in pairwise(ends)), default=0)


def _count_rows(data: SeriesReportData) -> list[list[str]]:
    found = _quantiles(data)
    names = {
        "least": "least seen",
        "p10": "10 % are seen less than",
        "median": "the middle one",
        "p90": "10 % are seen more than",
        "most": "most seen",
    }
    return [[name, f"{found[key]:g}"] for key, name in names.items()]


def _scenes(data: SeriesReportData) -> Section:
    columns = [Column("date"), Column("scene"), Column("CRS"), Column("pixel", True)]
    columns += [Column("clouds by its provider", True), Column("files", True)]
    rows = [
        [
            str(s.get("date", "")),
            str(s.get("id", "")),
            str(s.get("crs", "")),
            f"{s['resolution']:g}" if s.get("resolution") is not None else "–",
            f"{s['cloud_cover']:.0f} %" if s.get("cloud_cover") is not None else "–",
            str(s.get("files", "")),
        ]
        for s in data.scenes[:200]
    ]
    more = len(data.scenes) - len(rows)
    caption = f"{more} more scenes are in the JSON file." if more > 0 else ""
    return Section("Scenes", [Table(columns, rows, caption)])
