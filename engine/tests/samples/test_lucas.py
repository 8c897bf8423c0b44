import numpy as np
import pytest

from sits_engine.errors import InputError
from sits_engine.samples.lucas import CROPS, LAND_COVER, LAND_USE, TASKS, task_labels


def test_counts_of_classes_are_the_published_ones():
    assert (len(LAND_COVER), len(LAND_USE), len(CROPS)) == (8, 16, 40)
    for names in (LAND_COVER, LAND_USE, CROPS):
        assert len(set(names.values())) == len(names)


def test_each_task_reads_its_own_field():
    labels = {
        "lc1": np.array(["B11", "A22", "B16", "C33", ""]),
        "lu1": np.array(["U111", "U311", "U370", "", "8"]),
    }
    found, names = task_labels(labels, "land_cover")
    assert [names[i] if i >= 0 else "" for i in found] == [
        "Cropland", "Artificial land", "Cropland", "Woodland", "",
    ]  # fmt: skip
    found, names = task_labels(labels, "crops")
    assert names == ("Common wheat", "Maize")
    assert found.tolist() == [0, -1, 1, -1, -1]
    found, names = task_labels(labels, "land_use")
    assert names == ("Agriculture", "Residential", LAND_USE["U31"])
    assert found.tolist() == [0, 2, 1, -1, -1]


def test_names_in_place_of_codes():
    found, names = task_labels({"LC1_LABEL": np.array(["common wheat", "Barley", "Bare land"])}, "crops")
    assert (names, found.tolist()) == (("Barley", "Common wheat"), [1, 0, -1])


@pytest.mark.parametrize("task", ["crop", "bio_region", "landcover"])
def test_tasks_by_other_names_are_errors_and_not_land_cover(task):
    labels = {"lc1": np.array(["B11", "A22"])}
    with pytest.raises(InputError, match=f"no task '{task}'"):
        task_labels(labels, task)


def test_missing_fields_and_single_classes_are_said():
    with pytest.raises(InputError, match="none of the fields lu1"):
        task_labels({"lc1": np.array(["B11", "A22"])}, "land_use")
    with pytest.raises(InputError, match="only 'Common wheat' class"):
        task_labels({"lc1": np.array(["B11", "A22"])}, "crops")


def test_every_task_is_described_by_a_known_set():
    from sits_engine.models.clip.prompts import SETS, TEMPLATES, built_in

    for task in TASKS.values():
        assert task.described is None or task.described in SETS
        assert task.templates in TEMPLATES
    for name, codes in (("land_cover", LAND_COVER), ("land_use", LAND_USE), ("crops", CROPS)):
        assert set(built_in(TASKS[name].described).names) == set(codes.values())
