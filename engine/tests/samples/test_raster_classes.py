import numpy as np
import pytest
from imagery import write_image
from support.maps import CLASSES, COLORS, write_map

from sits_engine.samples.raster_classes import (
    CLASSES_TAG,
    MASKS_TAG,
    MapClass,
    classes_tag,
    drawn_from_ticks,
    named_classes,
)


def test_our_own_maps_name_their_classes(tmp_path) -> None:
    path = write_map(tmp_path / "map.tif", np.ones((4, 4)))
    assert named_classes(path) == [
        MapClass(i, name, color, (str(i),))
        for i, (name, color) in enumerate(zip(CLASSES, COLORS, strict=True), 1)
    ]


def test_category_names_of_another_program(tmp_path) -> None:
    """Values without a name, nodata and 0 are no classes; without a colour table there is no colour."""
    path = write_image(tmp_path / "l.tif", np.ones((1, 4, 4), np.uint8), None, nodata=4)
    names = ("nothing", "", "wheat &amp; rye", "maize", "void")
    listed = "".join(f"<Category>{name}</Category>" for name in names)
    (tmp_path / "l.tif.aux.xml").write_text(
        f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{listed}</CategoryNames></PAMRasterBand>'
        "</PAMDataset>"
    )
    assert named_classes(path) == [
        MapClass(2, "wheat & rye", "", ("2",)),
        MapClass(3, "maize", "", ("3",)),
    ]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"value": "x"}]', '[{"value": 1}]', "no json"])
def test_a_tag_of_another_program_names_nothing(tmp_path, text) -> None:
    path = write_image(tmp_path / "l.tif", np.ones((1, 4, 4), np.uint8), None, tags={CLASSES_TAG: text})
    assert named_classes(path) == []


def test_what_is_written_is_read(tmp_path) -> None:
    classes = [MapClass(3, "Maïs <x>", "#112233", ("7", "311"))]
    path = write_image(
        tmp_path / "l.tif", np.ones((1, 4, 4), np.uint8), None, tags={CLASSES_TAG: classes_tag(classes)}
    )
    assert named_classes(path) == classes


def test_masks_are_known_by_their_tag(tmp_path) -> None:
    plain = write_image(tmp_path / "l.tif", np.ones((1, 4, 4), np.uint8), None)
    masks = write_image(tmp_path / "m.tif", np.ones((1, 4, 4), np.uint8), None, tags={MASKS_TAG: "0.3"})
    assert [drawn_from_ticks(path) for path in (plain, masks, tmp_path / "missing.tif")] == [
        False,
        True,
        False,
    ]


def test_no_raster_names_nothing(tmp_path) -> None:
    assert named_classes(tmp_path / "missing.tif") == []
