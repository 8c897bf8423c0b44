"""What all jobs check that apply a model to a series."""

import pytest

from sits_engine.errors import InputError
from sits_engine.jobs.map_crops import MapCrops
from sits_engine.jobs.map_similarity import MapSimilarity
from sits_engine.jobs.plan_map import PlanMap

GIVEN = {"series": "s.json", "model": "m.safetensors", "output": "o.tif"}


@pytest.mark.parametrize("job", [MapCrops, PlanMap, MapSimilarity])
def test_tiles_have_a_smallest_side(job):
    given = GIVEN if job is not MapSimilarity else GIVEN | {"text": "wheat"}
    for side in (0, 16, 4096):
        assert job.parse(given | {"tile_size": side}).tile_size == side
    for side, words in (
        (1, "below 16 pixels"),
        (15, "below 16 pixels"),
        (-1, ">= 0|equal to 0"),
        (5000, "4096"),
    ):
        with pytest.raises(InputError, match=rf"Parameter TILE_SIZE: .*({words})"):
            job.parse(given | {"tile_size": side})
