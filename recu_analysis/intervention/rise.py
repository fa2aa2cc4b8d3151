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

    All draws are evaluated on the same images. So a difference is the sum of four parts that vary independently: the
    mean, a part of the image, a part of the draw, and a rest. With n images and R draws, the means over draws vary by
    V_i = (image + rest / R) / n, and the means over images by V_d = (draw + rest / n) / R. The variance of the mean is
    image / n + draw / R + rest / (n R) = V_d + (V_i - rest / (n R)). Half of the interval is the root of the sum of
    both, each times the square of its own quantile of Student's t (Banerjee 1960, Sankhya 22, 357-358). Unlike an
    approximation of the degrees of freedom, this holds the mean often enough for few draws too. Coverage of 95 %
    intervals, measured by `make validate` with skewed losses: 0.94 to 0.97 from 3 draws on, up to 0.99 for 2.

    Parameters
    ----------
    differences : ndarray of float64, shape (draws, images)
        Loss of each image after the intervention minus its loss before.
    level : float
        Confidence level, between 0 and 1.

    Returns
    -------
    dict
        rise, rise_low, rise_high; image_error = sqrt(V_i), over images that are paired with themselves, for these
        draws; draw_error = sqrt(V_d), for these images. One draw does not tell how draws vary: draw_error is then NaN,
        and the interval is for this draw.
    """
    check_level(level)
    draws, images = differences.shape
    middle = float(differences.mean())
    of_image, of_draw = differences.mean(axis=0), differences.mean(axis=1)
    by_image, by_draw = _variance(of_image), _variance(of_draw)
    squared = _quantile(images, level) * by_image
    if draws > 1:
        rest = differences - of_image - of_draw[:, None] + middle
        shared = float((rest**2).sum()) / ((draws - 1) * (images - 1) * draws * images)
        squared = _quantile(images, level) * max(by_image - shared, 0.0) + _quantile(draws, level) * by_draw
    half = math.sqrt(squared)
    return {
        "rise": middle,
        "rise_low": middle - half,
        "rise_high": middle + half,
        "image_error": math.sqrt(by_image),
        "draw_error": math.sqrt(by_draw),
    }


def _variance(means: NDArray[np.float64]) -> float:
    """Variance of the mean of some values; NaN for one value."""
    return float(means.var(ddof=1)) / means.size if means.size > 1 else math.nan


def _quantile(count: int, level: float) -> float:
    """The square of Student's quantile of so many values."""
    return float(stdtrit(count - 1, 0.5 + level / 2)) ** 2
