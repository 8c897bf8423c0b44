"""Band names and number scales: one canonical name whatever the provider calls a band.

Sentinel-2 names (B01 ... B12, B8A) are canonical for optical bands; the common names of the STAC `eo`
extension (blue, nir08 ...) map on them. Indices are upper case (NDVI, EVI). Unknown names stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

#: Common names of the STAC `eo` extension (1.x and 2.x) -> Sentinel-2 band of the same part of the spectrum.
COMMON_NAMES = {
    "coastal": "B01",
    "blue": "B02",
    "green": "B03",
    "red": "B04",
    "rededge1": "B05",
    "rededge071": "B05",
    "rededge2": "B06",
    "rededge075": "B06",
    "rededge3": "B07",
    "rededge078": "B07",
    "nir": "B08",
    "nir08": "B8A",
    "nir09": "B09",
    "cirrus": "B10",
    "swir16": "B11",
    "swir1": "B11",
    "swir22": "B12",
    "swir2": "B12",
}
TO_COMMON = {"B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B8A": "nir08"}
TO_COMMON |= {"B05": "rededge", "B06": "rededge", "B07": "rededge", "B09": "nir09", "B10": "cirrus"}
TO_COMMON |= {"B11": "swir16", "B12": "swir22"}

INDICES = frozenset(
    {"NDVI", "EVI", "EVI2", "NDWI", "NDMI", "SAVI", "MSAVI", "NBR", "GNDVI", "NDRE", "NDYI", "LSWI", "MNDWI"}
)
#: Layers with categories: never a spectral band, always resampled by nearest neighbour.
MASKS = frozenset({"SCL", "FMASK", "QA_PIXEL", "CLM", "CLD_MASK", "CLOUDMASK", "CLOUD_MASK", "MASK"})
#: Assets and layers of providers that are neither spectral bands nor a mask in use.
NOT_SPECTRAL = frozenset(
    (
        "AOT",
        "WVP",
        "TCI",
        "VISUAL",
        "THUMBNAIL",
        "PREVIEW",
        "PVI",
        "OVERVIEW",
        "RENDERED_PREVIEW",
        "SNOW",
        "SNW",
        "CLOUD",
        "CLD",
        "CLP",
        "ALPHA",
        "QUALITY",
        "QA",
        "QA_RADSAT",
        "QA_AEROSOL",
        "DATASTRIP-METADATA",
        "GRANULE-METADATA",
        "PRODUCT-METADATA",
    )
)

_NUMBERED = re.compile(r"^(?:sr[_ ]|boa[_ ]|toa[_ ]|msi[_ ])?b0?(\d{1,2})(a?)(?![a-z0-9])", re.IGNORECASE)


def canonical(name: str) -> str:
    """The name used everywhere: 'b2', 'B2', 'blue' -> 'B02'; 'ndvi' -> 'NDVI'; unknown names unchanged."""
    # Copernicus' own catalogue appends the resolution: B02_10m, SCL_20m.
    text = re.sub(r"[_-]\d{2}m$", "", name.strip(), flags=re.IGNORECASE)
    common = COMMON_NAMES.get(text.lower())
    if common:
        return common
    numbered = _NUMBERED.match(text)
    if numbered and int(numbered.group(1)) <= 12:
        number, narrow = int(numbered.group(1)), numbered.group(2)
        return "B8A" if narrow and number == 8 else f"B{number:02d}"
    upper = text.upper()
    if upper in INDICES or upper in MASKS or upper in NOT_SPECTRAL:
        return upper
    return name.strip()


def is_known(name: str) -> bool:
    """True where the canonical name is a Sentinel-2 band, an index or a mask."""
    found = canonical(name)
    return found in INDICES or found in MASKS or bool(re.fullmatch(r"B\d\d|B8A", found))


def is_reflectance(name: str) -> bool:
    """True for optical bands (B01 ... B12, B8A)."""
    return bool(re.fullmatch(r"B\d\d|B8A", canonical(name)))


def is_spectral(name: str) -> bool:
    """True for everything that a network may take as a channel: no masks, no quality layers, no pictures."""
    found = canonical(name).upper()
    return found not in MASKS and found not in NOT_SPECTRAL


def same_key(name: str) -> str:
    """Names with the same key are the same band."""
    return canonical(name).casefold()


def match(own: Sequence[str], wanted: Iterable[str]) -> tuple[list[str], list[str]]:
    """(own names for the wanted ones, in their order; wanted ones that are missing)."""
    by_key = {same_key(name): name for name in own}
    found, missing = [], []
    for name in wanted:
        if same_key(name) in by_key:
            found.append(by_key[same_key(name)])
        else:
            missing.append(name)
    return found, missing


_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(B\d{1,2}A?|SCL|"
    + "|".join(sorted(INDICES, key=len, reverse=True))
    + r")(?![A-Za-z0-9])",
    re.IGNORECASE,
)


def from_file_name(stem: str) -> tuple[str, str] | None:
    """(band name, stem without it) of a file that holds one band, e.g. 'T31_20190401_B02_10m'; else None."""
    found = list(_TOKEN.finditer(stem))
    if not found:
        return None
    last = found[-1]
    rest = stem[: last.start()] + stem[last.end() :]
    # The resolution belongs to the band, not to the scene: B02_10m and B05_20m are one scene.
    rest = re.sub(r"[_-]?\d{2}m$", "", rest, flags=re.IGNORECASE)
    return canonical(last.group(1)), re.sub(r"[_\- .]+", "_", rest).strip("_")


def default_scale(name: str, dtype: str, peak: float | None) -> float:
    """Scale of a band whose file states none.

    Args:
        name: canonical name.
        dtype: number type of the file.
        peak: largest absolute value seen in samples of all files of the series, or None if not sampled.

    Returns:
        1e-4 for integer reflectance and for reflectance or indices that plainly are stored times 10,000,
        else 1. Sentinel-2, Landsat-8 level 2 (ARD copies), MODIS and HLS all use 1e-4.
    """
    integer = dtype.startswith(("int", "uint"))
    if is_reflectance(name):
        if integer:
            return 1e-4 if dtype not in ("uint8", "int8") else 1.0
        return 1e-4 if peak is not None and peak > 20 else 1.0
    if canonical(name) in INDICES and peak is not None and peak > 1.5:
        return 1e-4 if peak > 200 else 1e-2
    return 1.0


def needs_sample(name: str, dtype: str) -> bool:
    """True where `default_scale` can't decide without looking at values."""
    if is_reflectance(name):
        return not dtype.startswith(("int", "uint"))
    return canonical(name) in INDICES
