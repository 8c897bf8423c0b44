import numpy as np
import pytest
from PIL import Image

from sits_engine.samples.photos_image import PhotoProblem, open_photo


def scene(width, height):
    """A smooth picture with a bright corner at the top left."""
    rows, cols = np.mgrid[0:height, 0:width]
    picture = np.stack([rows / height, cols / width, (rows + cols) / (width + height)], axis=-1) * 200
    picture[: height // 4, : width // 4] = 255
    return Image.fromarray(picture.astype(np.uint8))


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(tmp_path):
    scene(1600, 1200).save(tmp_path / "a.jpg", quality=92)
    whole, quick = open_photo(tmp_path / "a.jpg"), open_photo(tmp_path / "a.jpg", 100)
    assert whole.size == (1600, 1200)
    assert quick.size == (400, 300)  # a quarter: at an eighth less than twice 100 rows would be left
    small = [np.asarray(image.resize((40, 30), Image.Resampling.BICUBIC), float) for image in (whole, quick)]
    assert np.abs(small[0] - small[1]).mean() < 2


def test_a_photo_is_never_smaller_than_asked_for(tmp_path):
    scene(300, 250).save(tmp_path / "a.jpg")
    assert open_photo(tmp_path / "a.jpg", 224).size == (300, 250)


def test_orientation_is_honoured(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows are columns
    scene(160, 120).save(tmp_path / "a.jpg", exif=exif)
    upright = open_photo(tmp_path / "a.jpg", 30)
    assert upright.size[0] < upright.size[1]
    picture = np.asarray(upright, float)
    assert picture[:10, -10:].mean() > 250  # the bright corner came to the top right


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
def test_every_kind_of_picture_becomes_rgb(tmp_path, mode):
    name = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    scene(40, 30).convert(mode).save(name)
    assert open_photo(name).mode == "RGB"


def test_what_is_no_photo(tmp_path):
    with pytest.raises(PhotoProblem, match=r"none.jpg: not found"):
        open_photo(tmp_path / "none.jpg")
    with pytest.raises(PhotoProblem, match="a folder, not a photo"):
        open_photo(tmp_path)
    (tmp_path / "words.jpg").write_text("no image")
    with pytest.raises(PhotoProblem, match=r"words.jpg: no image that can be read\.$"):
        open_photo(tmp_path / "words.jpg")
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(PhotoProblem, match="export it as JPEG"):
        open_photo(tmp_path / "a.heic")


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_a_truncated_photo_is_damaged(tmp_path, name):
    scene(200, 150).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(PhotoProblem, match=rf"{name}: damaged \("):
        open_photo(tmp_path / name, 32)


def test_a_decompression_bomb_is_not_opened(tmp_path, monkeypatch):
    Image.new("1", (3000, 3000)).save(tmp_path / "bomb.png")
    assert open_photo(tmp_path / "bomb.png").size == (3000, 3000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4_000_000)
    with pytest.raises(PhotoProblem, match=r"bomb.png: more than 8 million pixels"):
        open_photo(tmp_path / "bomb.png")
