"""Reading an image file as a square of pixels."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from recu_analysis.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMATS = ("JPEG", "PNG")
#: Pillow's modes with at most 8 bits per channel; Pillow would clip 16 bits instead of scaling them.
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


@contextlib.contextmanager
def quiet_decoding() -> Iterator[None]:
    """Ignore warnings about unusual metadata during the context, and make an image of absurd size an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def read_square(path: Path, size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The center of an image: the short side is resized to `size` (bilinear, antialiased), the long side is cropped.

    Parameters
    ----------
    path : Path
        JPEG or PNG; gray images get three equal channels, transparency is dropped.
    size : int
        Height and width of the result in pixels.

    Returns
    -------
    ndarray of uint8, shape (3, size, size)

    Raises
    ------
    DataError
        If it cannot be decoded; the message names the file.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.mode not in MODES:
                raise DataError(f"{path} has the pixel format {image.mode}; convert it to 8 bits per channel")
            color = image.convert("RGBA").convert("RGB") if image.mode in ("P", "PA") else image.convert("RGB")
            # Cropping first avoids a huge intermediate image if the shape is extreme.
            short = min(color.size)
            left, top = ((side - short) / 2 for side in color.size)
            square = color.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + short, top + short))
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds of errors for a damaged file
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(f"{path} cannot be read as a JPEG or PNG image: {reason}; replace or delete it") from None
    return np.asarray(square).transpose(2, 0, 1)
