"""What mapping Germany costs: the numbers of docs/country.md, from measured figures.

    python benchmarks/country.py [--table FILE] [--price 0.05] [--cores 16] [--write docs/country.md]

`--table` takes the JSON of `table.py` for the rates of this machine; without it the rates are `RATES`
below. `--write` replaces the table between the two marks of the page.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

#: Assumed: land (km2), its share of cropland, pixels of 10 m, dates of a season, values a pixel and date.
LAND, CROPLAND, SQUARE_KM = 357_600, 1 / 3, 10_000
DATES, VALUES = 36, 11
#: Measured: bytes a value, DEFLATE with predictor 2 (`images.py`; real files of shared/data 0.83 to 1.60).
BYTES = 1.44
#: Measured with 24 dates on two cores: pixels a second from files to file, and their source.
MEASURED_DATES, MEASURED_CORES = 24, 2
RATES = {"standard": 170_547.0, "fast": 569_788.0}
RATES_FROM = "benchmarks/RESULTS.md of 2026-11-22, two cores of an AMD EPYC"
#: From a trial on another processor (shared/design/performance.md): JPEG 2000, 24 dates at 10 m, two cores.
JPEG2000 = 43_000.0
#: Computed, design/performance.md, never measured: one large card with 16 cores that decode, 24 dates.
CARD_DECODING, CARD_PRODUCTS, CARD_CORES = 9e6, 1.3e8, 16
#: Assumed: bits a second of the network, bytes a pixel of a map (class, confidence).
NETWORK, MAP_BYTES = 1e10, 2
BEGIN, END = "<!-- made by benchmarks/country.py -->", "<!-- end -->"


@dataclass(frozen=True)
class Costs:
    """Of one map of an area.

    Attributes:
        pixels: of 10 m.
        terabytes: to read, compressed.
        core_hours: by network, files to file.
        conversion: core hours to copy JPEG 2000 once.
        card_hours: of one large card whose 16 cores decode.
        card_products: hours if nothing but its arithmetic counted.
    """

    pixels: float
    terabytes: float
    core_hours: dict[str, float]
    conversion: float
    card_hours: float
    card_products: float


def costs(pixels: float, rates: dict[str, float]) -> Costs:
    """Work grows in proportion with pixels and dates (benchmarks/area.py; operations of the network)."""
    work = pixels * DATES / MEASURED_DATES

    def core_hours(rate: float) -> float:
        return work / (rate / MEASURED_CORES) / 3600

    return Costs(
        pixels,
        pixels * DATES * VALUES * BYTES / 1e12,
        {name: core_hours(rate) for name, rate in rates.items()},
        core_hours(JPEG2000),
        work / CARD_DECODING / 3600,
        work / CARD_PRODUCTS / 3600,
    )


def rates_of(table: Path | None) -> tuple[dict[str, float], str]:
    """Pixels a second of both networks, and where they come from."""
    if table is None:
        return RATES, RATES_FROM
    found = json.loads(table.read_text(encoding="utf-8"))
    rows = {row["work"]: row["ours"] for row in reversed(found["rows"])}
    rates = {name: rows[f"Map, {name}, files to file"] for name in RATES}
    return rates, found["about"]


def markdown(rates: dict[str, float], source: str, price: float, cores: int) -> list[str]:
    """The table of the page."""
    whole, crops = (costs(LAND * SQUARE_KM * share, rates) for share in (1.0, CROPLAND))

    def row(what: str, kind: str, form: str, *values: float) -> str:
        return f"| {what} | {kind} | " + " | ".join(format(value, form) for value in values) + " |"

    lines = ["| one map, 36 dates | | all land | cropland |", "|---|---|---|---|"]
    lines += [
        row("pixels of 10 m, billion", "assumed", ".2f", whole.pixels / 1e9, crops.pixels / 1e9),
        row("to read, TB", f"measured: {BYTES} bytes a value", ".2f", whole.terabytes, crops.terabytes),
        row(
            "to move at 10 Gbit/s, minutes",
            "computed",
            ".0f",
            *(1e12 * c.terabytes * 8 / NETWORK / 60 for c in (whole, crops)),
        ),
        row("the map, GB at most", "computed", ".1f", *(c.pixels * MAP_BYTES / 1e9 for c in (whole, crops))),
    ]
    for name, rate in rates.items():
        hours = [c.core_hours[name] for c in (whole, crops)]
        lines += [
            row(f"core hours, {name}", f"{rate:,.0f} pixels/s on two cores", ".0f", *hours),
            row(f"their price at {price:g} a core hour", "assumed price", ".2f", *(h * price for h in hours)),
            row(
                f"hours on one machine of {cores} cores",
                "computed",
                ".1f",
                *(h / cores for h in hours),
            ),
        ]
    lines += [
        row(
            "once, where the files are JPEG 2000: core hours",
            f"trial, other processor: {JPEG2000:,.0f} pixels/s",
            ".0f",
            whole.conversion,
            crops.conversion,
        ),
        row(
            f"hours of one large graphics card with {CARD_CORES} cores that decode",
            "computed, **not measured**",
            ".2f",
            whole.card_hours,
            crops.card_hours,
        ),
        row(
            "of these its arithmetic",
            "computed, **not measured**",
            ".3f",
            whole.card_products,
            crops.card_products,
        ),
    ]
    return [*lines, "", f"Rates: {source}"]


def main() -> int:
    """Print the table, and write it into the page on wish."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path, help="JSON of table.py")
    parser.add_argument("--price", type=float, default=0.05, help="of a core hour, in any currency")
    parser.add_argument("--cores", type=int, default=16, help="of a machine")
    parser.add_argument("--write", type=Path, help="the page")
    options = parser.parse_args()
    table = "\n".join(markdown(*rates_of(options.table), options.price, options.cores))
    print(table)
    if options.write:
        page = options.write.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        options.write.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
