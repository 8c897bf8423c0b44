from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import shapely

from sits_engine.series.simulate import growth, spectra
from sits_engine.series.simulate.acquisition import overpasses
from sits_engine.series.simulate.atmosphere import (
    CLOUD_MEDIUM,
    NO_DATA,
    NOT_CLEAR,
    draw_sky,
    scene_classification,
)
from sits_engine.series.simulate.crops import CROP_NAMES, CROPS
from sits_engine.series.simulate.landscape import LARGEST_HA, make_landscape
from sits_engine.series.simulate.noise import block_mean, smooth_field
from sits_engine.series.simulate.region import _seen_by_sensor, ground_reflectance, image, make_region
from sits_engine.series.simulate.settings import DIFFICULTIES, REGION_A, REGION_B, generator

STANDARD = DIFFICULTIES["standard"]


def fields_of(count=200, shift=0.0, difficulty=STANDARD, seed=1):
    shifts = np.full(len(CROPS), shift)
    return growth.draw_fields(generator(seed), count, REGION_A.shares, 0.3, shifts, difficulty)


def test_a_shift_moves_the_whole_season():
    calm = replace(STANDARD, weeds=0.0)  # weeds follow the calendar, not the crop
    here, earlier = fields_of(difficulty=calm), fields_of(difficulty=calm, shift=20.0)
    for day in (60, 120, 180, 240):
        now, then = growth.state(earlier, day), growth.state(here, day + 20)
        np.testing.assert_allclose(now.leaves, then.leaves, atol=1e-3)
        np.testing.assert_allclose(now.surface, then.surface, atol=1e-3)
    assert np.abs(growth.state(here, 120).leaves - growth.state(earlier, 120).leaves).max() > 1


def test_each_crop_is_green_in_its_season():
    fields = fields_of(600)
    leaves = {day: growth.state(fields, day).leaves for day in (100, 130, 220, 290)}

    def mean(crop, day):
        return leaves[day][fields.crop == CROP_NAMES.index(crop)].mean()

    assert mean("winter rapeseed", 100) > 2 > mean("maize", 130)
    assert mean("maize", 220) > 3 > mean("winter barley", 220)
    assert mean("sugar beet", 220) > 3
    assert mean("winter wheat", 130) > mean("spring barley", 100)


def test_rapeseed_flowers_yellow():
    fields = fields_of(400)
    rape = fields.crop == CROP_NAMES.index("winter rapeseed")
    green, red = spectra.BANDS.index("B03"), spectra.BANDS.index("B04")
    blooming, before = growth.state(fields, 118).surface[rape], growth.state(fields, 85).surface[rape]
    assert blooming[:, red].mean() > 1.8 * before[:, red].mean()
    assert blooming[:, green].mean() > 1.4 * before[:, green].mean()


def test_every_crop_has_several_varieties_and_they_differ():
    assert len(CROPS) >= 8
    fields = fields_of(600)
    for index, crop in enumerate(CROPS):
        assert len(crop.varieties) >= 3
        assert len(set(fields.variety[fields.crop == index])) >= 3
    wheat = fields.crop == CROP_NAMES.index("winter wheat")
    first, last = (wheat & (fields.variety == v) for v in (0, 3))
    assert fields.end[last].mean() - fields.end[first].mean() > 10


def test_quotas_add_up_and_keep_rare_crops():
    numbers = growth.quotas(REGION_A.shares, 300, least=6)
    assert numbers.sum() == 300
    assert numbers.min() >= 6
    assert np.argmax(numbers) == int(np.argmax(REGION_A.shares))
    few = growth.quotas(REGION_A.shares, 7, least=6)
    assert few.sum() == 7
    assert few.min() >= 0


def test_parcels_are_valid_apart_and_where_the_raster_says():
    land = make_landscape(np.random.default_rng(3), (600_000, 5_000_000, 601_280, 5_001_280))
    parcels = np.array(land.parcels)
    assert len(parcels) > 30
    assert shapely.is_valid(parcels).all()
    tree = shapely.STRtree(parcels)
    left, right = tree.query(parcels, predicate="overlaps")
    assert len(left) == len(right) == 0
    areas = shapely.area(parcels) / 1e4
    assert areas.max() <= LARGEST_HA
    assert areas.min() >= 0.08
    assert np.median(areas) < 3
    rows, cols = np.nonzero(land.ids >= 0)
    pick = np.random.default_rng(0).choice(len(rows), 500)
    x, y = 600_000 + 5 * (cols[pick] + 0.5), 5_001_280 - 5 * (rows[pick] + 0.5)
    owners = parcels[land.ids[rows[pick], cols[pick]]]
    assert (shapely.distance(owners, shapely.points(x, y)) < 1e-6).all()
    assert 0.05 < (land.ids < 0).mean() < 0.6


def test_dates_are_irregular_and_differ_between_regions():
    a = overpasses(np.random.default_rng(1), 28, REGION_A.first_orbit)
    b = overpasses(np.random.default_rng(2), 28, REGION_B.first_orbit)
    assert a == sorted(set(a))
    assert len(a) == len(b) == 28
    assert len({(q - p).days for p, q in pairwise(a)}) > 3
    assert len(set(a) & set(b)) < 20


@pytest.mark.parametrize("factor", [2, 4])
def test_the_sensor_averages_and_bleeds(factor):
    flat = np.full((4 * factor + 2, 4 * factor + 2), 0.3, dtype=np.float32)
    np.testing.assert_allclose(_seen_by_sensor(flat, factor), 0.3, rtol=1e-6)
    step = np.zeros_like(flat)
    step[:, 1 + 2 * factor :] = 1.0  # a border between the second and the third pixel
    seen = _seen_by_sensor(step, factor)[0]
    assert seen[0] == 0
    assert seen[3] == pytest.approx(1)
    assert seen[1] == pytest.approx(0.25 / factor)
    assert seen[2] == pytest.approx(1 - 0.25 / factor)


def test_smooth_fields_have_patches_of_the_size_asked_for():
    for scale in (6.0, 24.0):
        field = smooth_field(np.random.default_rng(5), (256, 256), scale)
        assert abs(field.mean()) < 1e-3
        assert field.std() == pytest.approx(1, abs=1e-3)
        near = (field[:, 1:] * field[:, :-1]).mean()
        far = (field[:, int(2 * scale) :] * field[:, : -int(2 * scale)]).mean()
        assert near > 0.9
        assert abs(far) < 0.35
    np.testing.assert_allclose(
        block_mean(np.arange(16, dtype=np.float32).reshape(4, 4), 2), [[2.5, 4.5], [10.5, 12.5]]
    )


def cloudy(seed=0):
    """The first sky from `seed` on with between a fifth and two thirds of cloud and no swath edge."""
    while True:
        sky = draw_sky(np.random.default_rng(seed), 160, 170, STANDARD)
        if 0.2 < sky.cover < 0.66 and sky.seen.all():
            return sky
        seed += 1


def test_clouds_cast_shadows_to_the_north_and_the_mask_shows_most():
    sky = cloudy()
    size = len(sky.cloud)
    overlaps = [
        float((sky.shadow[: size - d] * sky.cloud[d:]).sum() / max(sky.shadow[: size - d].sum(), 1))
        for d in range(0, 80, 4)
    ]
    assert max(overlaps[1:]) > overlaps[0]  # clouds lie south of their shadows
    ground = np.full((10, size, size), 0.1, dtype=np.float32)
    mask = scene_classification(
        np.random.default_rng(0), ground, sky, np.zeros((size // 2, size // 2), dtype=bool)
    )
    thick = (sky.cloud > 0.9) & ~sky.missed_cloud
    assert np.isin(mask[thick], NOT_CLEAR).mean() > 0.95
    bare = (sky.cloud < 0.02) & (sky.shadow < 0.02) & (sky.haze < 0.05)
    assert not np.isin(mask[bare], NOT_CLEAR).mean() > 0.1
    # Thin edges and overlooked clouds stay in what the mask calls clear.
    assert ((sky.cloud > 0.05) & ~np.isin(mask, NOT_CLEAR)).any()


def test_the_mask_overlooks_some_small_clouds_and_no_large_one():
    rng = np.random.default_rng(0)
    from sits_engine.series.simulate.atmosphere import _missed

    objects = np.zeros((300, 300), dtype=bool)
    objects[:100, :100] = True
    objects[120::10, ::10] = True
    missed = _missed(rng, objects, 0.5)
    assert not missed[:100, :100].any()
    assert 0.3 < missed[120::10, ::10].mean() < 0.7
    assert not missed[~objects].any()


@pytest.fixture(scope="module")
def region():
    return make_region(REGION_A, STANDARD, 4, 96, 10, 0.0)


def test_bands_of_20_m_are_coarser_than_those_of_10_m(region):
    values = ground_reflectance(region, 5)
    for band, name in enumerate(spectra.BANDS):
        pairs = np.abs(values[band, ::2, ::2] - values[band, 1::2, 1::2])
        if name in spectra.BANDS_10M:
            assert pairs.max() > 0
        else:
            assert pairs.max() == 0
    assert values.min() > 0
    assert values.max() < 0.8


def test_images_hold_digital_numbers_and_no_data_only_outside_the_swath(region):
    for index in range(len(region.dates)):
        values, sky = image(region, index)
        assert values.dtype == np.uint16
        assert values.shape == (11, 96, 96)
        assert ((values[:-1] == 0).all(axis=0) == ~sky.seen).all()
        assert ((values[-1] == NO_DATA) == ~sky.seen).all()
        assert set(np.unique(values[-1])) <= {0, 2, 3, 4, 5, 6, 7, 8, 9, 10}
    covers = [image(region, index)[1].cover for index in range(len(region.dates))]
    assert max(covers) > 0.2
    assert CLOUD_MEDIUM in NOT_CLEAR


def test_dates_can_be_computed_in_any_order(region):
    alone, _ = image(region, 7)
    image(region, 2)
    again, _ = image(region, 7)
    np.testing.assert_array_equal(alone, again)


def test_shift_of_region_b_is_exact_on_average():
    b = make_region(REGION_B, STANDARD, 4, 64, 5, 28.0)
    assert b.shift.mean() == pytest.approx(28.0)
    assert 0 < b.shift.std() < 5
    assert make_region(REGION_A, STANDARD, 4, 64, 5, 0.0).shift.tolist() == [0.0] * len(CROPS)
