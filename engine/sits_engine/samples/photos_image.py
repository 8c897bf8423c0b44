"""Opening a photo for a network or a contact sheet: quick, upright, and safe with whatever a folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

#: A JPEG is decoded at half, a quarter or an eighth of its size while that leaves this many times the pixels
#: asked for: the resampling that follows then still has something to average.
MARGIN = 2


class PhotoProblem(Exception):
    """A photo can't be used; the text names the file and the reason and is meant for people."""


def open_photo(path: Path, edge: int | None = None) -> Image:
    """The photo in RGB, turned as its EXIF orientation says.

    Args:
        path: of a JPEG, PNG, TIFF, WebP or whatever Pillow reads.
        edge: pixels that the shorter side must keep; a JPEG of many megapixels is then decoded at a fraction
            of its size, which is several times quicker. None decodes it whole.

    Raises:
        PhotoProblem: missing, no image, damaged, truncated, or so many pixels that Pillow takes it for an
            attack (179 million).
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if edge is not None:
                image.draft("RGB", (MARGIN * edge, MARGIN * edge))
            upright = ImageOps.exif_transpose(image)
            return upright if upright.mode == "RGB" else upright.convert("RGB")
    except FileNotFoundError as error:
        raise PhotoProblem(f"{path}: not found.") from error
    except IsADirectoryError as error:
        raise PhotoProblem(f"{path}: a folder, not a photo.") from error
    except Image.DecompressionBombError as error:
        pixels = (Image.MAX_IMAGE_PIXELS or 0) * 2 // 10**6
        raise PhotoProblem(f"{path}: more than {pixels} million pixels, it isn't opened.") from error
    except UnidentifiedImageError as error:
        hint = " (HEIC: export it as JPEG)" if path.suffix.lower() in (".heic", ".heif") else ""
        raise PhotoProblem(f"{path}: no image that can be read{hint}.") from error
    except (
        Exception
    ) as error:  # damaged files make Pillow raise nearly anything: OSError, SyntaxError, struct.error
        raise PhotoProblem(f"{path}: damaged ({str(error) or type(error).__name__}).") from error
