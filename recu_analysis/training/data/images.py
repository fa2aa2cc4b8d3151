"""An image file as a square of pixels."""

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
#: Modes of Pillow of eight bits a channel or fewer; 16 bits would be cut off, not scaled.
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


@contextlib.contextmanager
def quiet_decoding() -> Iterator[None]:
    """Within this context odd metadata goes unmentioned, and an image of absurd size is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def read_square(path: Path, size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The middle of an image: its short side brought to `size` (bilinear, antialiased), the long one cut to it.

    Parameters
    ----------
    path : Path
        JPEG or PNG; grey images get three equal channels, transparency is dropped.
    size : int
        Pixels.

    Returns
    -------
    ndarray of uint8, shape (3, size, size)

    Raises
    ------
    DataError
        If it cannot be decoded; the text names the file.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.mode not in MODES:
                raise DataError(f"{path} has pixels of the kind {image.mode}; convert it to 8 bits a channel")
            color = image.convert("RGBA").convert("RGB") if image.mode in ("P", "PA") else image.convert("RGB")
            # Cutting first spares an image of extreme shape, which would grow along its long side.
            short = min(color.size)
            left, top = ((side - short) / 2 for side in color.size)
            square = color.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + short, top + short))
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever they meet in a damaged file
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(f"{path} cannot be read as a JPEG or PNG image: {reason}; replace or delete it") from None
    return np.asarray(square).transpose(2, 0, 1)
