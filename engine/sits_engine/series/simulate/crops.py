"""The ten crops of the demo: calendars, leaf traits and varieties.

Days are days since 1 January in region A (region B is earlier by the shift). Dates and leaf areas follow the
usual calendars of western and central Europe in round numbers; they are not measurements.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Variety:
    """How a variety differs from its crop: days, and factors as relative deviations.

    Attributes:
        name: for the truth file.
        start: days that spring growth or emergence is later.
        end: days that yellowing is later.
        area: relative deviation of the largest leaf area.
        chlorophyll: relative deviation of leaf chlorophyll.
    """

    name: str
    start: float
    end: float
    area: float
    chlorophyll: float


@dataclass(frozen=True)
class Crop:
    """One crop.

    Attributes:
        name, code, color: class name, code of the parcel register, colour of the truth map.
        start, start_rate: day of half the spring growth; days of the logistic rise.
        end, end_rate: day of half yellowing; days of the logistic fall.
        harvest: day of harvest.
        area: largest leaf area index.
        winter_area: leaf area of an autumn-sown crop over winter; 0 for spring crops.
        cover_before: share of fields with a green cover crop before a spring crop.
        cover_after: share of fields with a catch crop after harvest.
        flower_day, flower_strength: peak of yellow flowering, largest share of the canopy.
        cuts: days on which grass is mown.
        chlorophyll, structure, water: relative deviation of the leaves from usual ones.
        varieties: at least three.
    """

    name: str
    code: str
    color: str
    start: float
    start_rate: float
    end: float
    end_rate: float
    harvest: float
    area: float
    winter_area: float = 0.0
    cover_before: float = 0.0
    cover_after: float = 0.0
    flower_day: float = 0.0
    flower_strength: float = 0.0
    cuts: tuple[float, ...] = ()
    chlorophyll: float = 0.0
    structure: float = 0.0
    water: float = 0.0
    varieties: tuple[Variety, ...] = field(default=())


def _varieties(prefix: str, *rows: tuple[float, float, float, float]) -> tuple[Variety, ...]:
    return tuple(Variety(f"{prefix}{number}", *row) for number, row in enumerate(rows, start=1))


CROPS: tuple[Crop, ...] = (
    Crop(
        name="winter wheat",
        code="115",
        color="#d9a520",
        start=99,
        start_rate=11,
        end=178,
        end_rate=6.5,
        harvest=206,
        area=5.0,
        winter_area=0.8,
        cover_after=0.35,
        varieties=_varieties(
            "WW", (-7, -8, -0.05, -0.03), (0, 0, 0.05, 0), (5, 4, 0.1, 0.05), (9, 9, 0, 0.1)
        ),
    ),
    Crop(
        name="winter barley",
        code="131",
        color="#f2d675",
        start=89,
        start_rate=11,
        end=163,
        end_rate=6.5,
        harvest=187,
        area=4.6,
        winter_area=1.0,
        cover_after=0.45,
        chlorophyll=-0.04,
        varieties=_varieties("WB", (-6, -7, 0, 0), (0, 0, 0.05, -0.03), (6, 8, -0.1, 0.06)),
    ),
    Crop(
        name="winter rapeseed",
        code="311",
        color="#f4f03c",
        start=77,
        start_rate=10,
        end=172,
        end_rate=9,
        harvest=199,
        area=4.6,
        winter_area=1.5,
        cover_after=0.25,
        flower_day=119,
        flower_strength=0.55,
        structure=0.06,
        varieties=_varieties("RA", (-6, -5, 0, 0), (0, 0, 0.05, 0.02), (7, 7, -0.08, 0.05)),
    ),
    Crop(
        name="spring barley",
        code="132",
        color="#c9b48a",
        start=119,
        start_rate=8,
        end=181,
        end_rate=6,
        harvest=208,
        area=4.1,
        cover_before=0.4,
        cover_after=0.3,
        chlorophyll=-0.05,
        varieties=_varieties("SB", (-9, -6, 0.05, 0), (0, 0, 0, 0), (8, 6, -0.1, 0.04)),
    ),
    Crop(
        name="maize",
        code="171",
        color="#e8731a",
        start=169,
        start_rate=8,
        end=252,
        end_rate=10,
        harvest=269,
        area=4.6,
        cover_before=0.4,
        structure=-0.04,
        water=-0.02,
        varieties=_varieties(
            "MA", (-10, -16, -0.1, -0.04), (-3, -3, 0, 0), (3, 8, 0.08, 0.03), (12, 14, -0.05, 0.05)
        ),
    ),
    Crop(
        name="sugar beet",
        code="603",
        color="#b0307f",
        start=156,
        start_rate=9,
        end=284,
        end_rate=18,
        harvest=284,
        area=4.4,
        cover_before=0.45,
        chlorophyll=0.04,
        structure=0.06,
        water=0.12,
        varieties=_varieties("BE", (-7, -8, 0, 0), (0, 0, 0.05, 0.05), (6, 8, -0.08, -0.04)),
    ),
    Crop(
        name="potatoes",
        code="602",
        color="#7a5230",
        start=150,
        start_rate=8,
        end=234,
        end_rate=9,
        harvest=258,
        area=4.1,
        cover_before=0.35,
        structure=0.04,
        water=0.11,
        varieties=_varieties(
            "PO", (-14, -28, -0.1, -0.06), (-2, -4, 0, 0), (4, 8, 0.05, 0.04), (9, 20, 0.05, 0.06)
        ),
    ),
    Crop(
        name="soybean",
        code="330",
        color="#2f8f5b",
        start=171,
        start_rate=9,
        end=245,
        end_rate=6,
        harvest=266,
        area=4.7,
        cover_before=0.3,
        chlorophyll=-0.09,
        structure=0.13,
        varieties=_varieties("SO", (-7, -13, -0.08, 0), (0, 0, 0, 0), (8, 10, 0.06, 0.04)),
    ),
    Crop(
        name="sunflower",
        code="320",
        color="#ffb000",
        start=155,
        start_rate=8,
        end=226,
        end_rate=8,
        harvest=254,
        area=3.3,
        cover_before=0.3,
        flower_day=199,
        flower_strength=0.24,
        structure=-0.02,
        water=0.06,
        varieties=_varieties("SU", (-9, -11, -0.05, 0), (0, 0, 0, 0), (8, 10, 0.08, 0.05)),
    ),
    Crop(
        name="grassland",
        code="459",
        color="#5cb85c",
        start=92,
        start_rate=15,
        end=330,
        end_rate=25,
        harvest=400,
        area=3.4,
        winter_area=1.3,
        cuts=(138, 180, 222, 262),
        structure=-0.06,
        varieties=_varieties("GR", (-8, 0, 0.1, 0.05), (0, 0, -0.1, 0), (6, 0, -0.25, -0.05)),
    ),
)

CROP_NAMES = tuple(crop.name for crop in CROPS)
