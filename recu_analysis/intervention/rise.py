"""The rise of a loss over images and over draws of weights: its mean, standard errors and interval."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scipy.special import stdtrit

from recu_analysis.theory.intervals import LEVEL, check_level

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def rise(differences: NDArray[np.float64], level: float = LEVEL) -> dict[str, float]:
    """Mean of differences, each of one image and one draw, with its standard errors and interval.

    Images and draws vary independently. The squares of their standard errors are added. The degrees of freedom follow
    from Satterthwaite (1946), Biometrics Bulletin 2, 110-114. The sum counts the interaction of images and draws twice,
    so the interval is a little too wide.

    Parameters
    ----------
    differences : ndarray of float64, shape (draws, images)
        Loss of each image after the intervention minus its loss before.
    level : float
        Confidence level, between 0 and 1.

    Returns
    -------
    dict
        rise, rise_low, rise_high; image_error, over images that are paired with themselves; draw_error, NaN for one
        draw, whose interval is over images only.
    """
    check_level(level)
    middle = float(differences.mean())
    image, draw = _error(differences.mean(axis=0)), _error(differences.mean(axis=1))
    parts = [(image, differences.shape[1])] + ([] if math.isnan(draw) else [(draw, differences.shape[0])])
    variance = sum(error**2 for error, _ in parts)
    shares = sum(error**4 / (count - 1) for error, count in parts)
    half = math.sqrt(variance) * float(stdtrit(variance**2 / shares, 0.5 + level / 2)) if shares > 0.0 else 0.0
    return {
        "rise": middle,
        "rise_low": middle - half,
        "rise_high": middle + half,
        "image_error": image,
        "draw_error": draw,
    }


def _error(means: NDArray[np.float64]) -> float:
    """Standard error of the mean of some values; NaN for one value."""
    return float(means.std(ddof=1)) / math.sqrt(means.size) if means.size > 1 else math.nan
