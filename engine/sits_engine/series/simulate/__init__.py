"""A simulated pair of farming regions, seen by a Sentinel-2-like sensor: demonstration and tests.

Nothing in it is measured. The steps, from the ground up: `landscape` (fields, forest, roads), `crops`
(calendars and varieties), `growth` (leaf area of each field on a day), `spectra` (leaf area and soil to
reflectance), `atmosphere` (haze, clouds, shadows, what the mask says of them), `acquisition` (days),
`region` (files), `pair` (both regions and the truth). `docs/demo-data.md` documents every choice.
"""

from sits_engine.series.simulate.pair import DemoPaths, simulate_pair
from sits_engine.series.simulate.settings import DIFFICULTIES, Difficulty

__all__ = ["DIFFICULTIES", "DemoPaths", "Difficulty", "simulate_pair"]
