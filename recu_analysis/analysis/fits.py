"""The distribution of each layer's weights, with their quantization error and entropy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recu_analysis.analysis.channels import by_blocks, measured_channels
from recu_analysis.analysis.layer_pass import ahead
from recu_analysis.analysis.query import per_layer
from recu_analysis.analysis.run_arguments import of_each
from recu_analysis.analysis.selection import span_of
from recu_analysis.errors import InputError, WindowNotFoundError
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.theory import quantization
from recu_analysis.theory.empirical import clamped_entropy as measured_entropy
from recu_analysis.theory.empirical import quantized, sign_entropy
from recu_analysis.theory.entropy import clamped_entropy, laplace_bound
from recu_analysis.theory.fit import fit, laplace_scale
from recu_analysis.theory.gennorm import SHAPES
from recu_analysis.theory.standardize import WeightTransform, standard_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.channels import Channels
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window

    Array = NDArray[Any]
    Row = dict[str, Any]

_INTERVALS = ("b_hat", "b_ratio", "shape")
_QUANTIZED = ("clamped_fraction", "alpha", "qe_measured", "qe_exact", "qe_printed")
_ENTROPIES = ("entropy_measured", "entropy", "entropy_bound", "sign_entropy")
_DISTANCES = ("ks_laplace", "ks_normal", "aic_normal", "aic_gennorm", "scale_ratio")


def fit_table(
    runs: SeveralRuns, *, windows: Windows | None = None, layers: Sequence[str] | str | None = None, raw: bool = False
) -> pd.DataFrame:
    """Fit Laplace, normal and generalized normal distributions to every layer's weights at the end of a window.

    Distributions are fitted to z, the standard scores by output channel. b_hat, errors and entropies are of w~, the
    weights after the layer's standardization. Only channels that are finite and not constant are used, see
    `recu_analysis.analysis.channels`. Intervals (95 %) resample output channels.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Of several runs, the tables are below each other, with the labels of the runs in a first column, run.
    windows : int, slice, str or WindowSpan, optional
        The state at the end of these windows, such as 12 or ":13"; the end of the run by default.
    layers : str or sequence of str, optional
        Patterns of layer names.
    raw : bool
        Use the raw latent weights of each layer, all channels pooled, in place of z and of w~. Channels of different
        scale then look like heavy tails.

    Returns
    -------
    DataFrame
        One row per layer:

        - layer, window, weights and channels (those measured), constant_channels (left out)
        - note: what was left out, or why a number is missing
        - tau (1 where the layer does not clamp), b_star
        - b_hat (Eq. 11 of ReCU), b_ratio (b_hat / b*), shape (generalized normal: 1 Laplace, 2 normal): each with _low
          and _high
        - scale_ratio: sqrt(2) E|z|, equal to b_ratio in a layer that standardizes
        - ks_laplace, ks_normal
        - aic_normal, aic_gennorm: less the AIC of Laplace, so positive where Laplace is better
        - clamped_fraction, clamped_laplace (2 (1 - tau)), alpha
        - qe_measured, qe_exact, qe_printed: squared unit of w~; over b_hat^2 with _relative
        - entropy_measured (of the clamped w~), entropy (Eq. 17), entropy_bound (ln(2 e b_hat)), sign_entropy: nats

    Raises
    ------
    InputError
        If `windows` is not valid.
    LayerNotFoundError
        If a pattern matches no layer.
    WindowNotFoundError
        If the run has none of the windows.
    """
    return of_each(
        runs,
        lambda run: per_layer(run, select_layers(run, layers), _fit_layer, window_at(run, windows).number, raw).then(
            pd.DataFrame
        ),
    )


def window_at(run: Run, windows: Windows | None) -> Window:
    """The window whose end state is used: the last one that a caller chose, or the last of the run.

    Raises
    ------
    InputError
        If `windows` is not valid.
    WindowNotFoundError
        If the run has none of the windows.
    """
    if not len(run.windows):
        lost = f" ({run.problems[0]})" if run.problems else ""
        raise WindowNotFoundError(f"{run.path} holds no window{lost}; record() writes the first one when it starts")
    return run.windows[-1] if windows is None else run.window(span_of(run, windows).last)


def _fit_layer(run: Run, spec: LayerSpec, number: int, raw: bool) -> Answer[Row]:
    record = yield ahead(run.window(number))
    transform = WeightTransform() if raw else spec.transform or WeightTransform()
    of_z, of_signs = (record.end, record.end) if raw else (record.scored, record.operand)
    scored, operand = measured_channels(of_z), measured_channels(of_signs)
    note = _note(scored, operand, few=transform.target is not None)
    tau = record.tau if transform.clamp and record.tau is not None else 1.0
    row: Row = {"layer": spec.name, "window": number, "weights": scored.rows.size, "channels": len(scored.rows)}
    row |= {"constant_channels": operand.constant, "note": note, "tau": tau}
    row["b_star"] = math.nan if transform.target is None else transform.target
    names = [f"{name}{end}" for name in _INTERVALS for end in ("", "_low", "_high")]
    names += [*_DISTANCES, *_QUANTIZED, "clamped_laplace", *(f"qe_{kind}_relative" for kind in _KINDS), *_ENTROPIES]
    row |= dict.fromkeys(names, math.nan)
    if not (scored.rows.size and operand.rows.size):
        return row
    try:
        shown = _distribution(scored.rows if raw else _scores(scored.rows, transform))
        standardized = operand.rows if raw else by_blocks(operand.rows, transform.standardized)
        shown |= _scale(standardized, transform.target) | _quantization(standardized, tau, transform.quantile)
    except InputError as error:  # weights so small or large that their squares are out of range
        return row | {"note": _joined(note, str(error))}
    return row | shown | {"note": _joined(note, shown.get("note", ""))}


def _scores(rows: Array, transform: WeightTransform) -> Array:
    return by_blocks(rows, lambda block: standard_scores(block, center=transform.center))


def _note(scored: Channels, operand: Channels, *, few: bool) -> str:
    """What was left out of z, and of the effective weights where that differs.

    With `few`, it also says where channels have too few weights for the shape of z.
    """
    effective = operand.omissions if operand.omissions != scored.omissions else ""
    count = scored.rows.shape[1]
    return _joined(
        scored.omissions,
        f"effective weights: {effective}" if effective else "",
        f"only {count} weights per channel: z has lighter tails, so the shape is too large"
        if few and scored.rows.size and count < FEW_WEIGHTS
        else "",
    )


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


#: With fewer weights per channel, the shape of z is too large by a tenth or more; see `theory.gennorm.shape`.
FEW_WEIGHTS = 40
_KINDS = ("measured", "exact", "printed")


def _distribution(scores: Array) -> Row:
    found = fit(scores)
    return {
        **_bounds("shape", found.shape.estimate, found.shape.low, found.shape.high),
        "scale_ratio": math.sqrt(2.0) * found.scale.estimate,
        **{name: getattr(found, name) for name in ("ks_laplace", "ks_normal", "aic_normal", "aic_gennorm")},
        **({"note": no_shape(found.flat)} if math.isnan(found.shape.estimate) else {}),
    }


def no_shape(flat: bool) -> str:
    """Why no generalized normal fits the weights."""
    of = (
        "large shapes, which tend to the uniform distribution" if flat else "the smallest shapes, as where many z are 0"
    )
    return f"no shape between {SHAPES[0]:g} and {SHAPES[1]:g} fits: the likelihood is greatest at {of}"


def _bounds(name: str, estimate: float, low: float, high: float) -> Row:
    return {name: estimate, f"{name}_low": low, f"{name}_high": high}


def _scale(standardized: Array, target: float | None) -> Row:
    b = laplace_scale(standardized)
    unit = math.nan if target is None else target
    return _bounds("b_hat", b.estimate, b.low, b.high) | _bounds(
        "b_ratio", b.estimate / unit, b.low / unit, b.high / unit
    )


def _quantization(standardized: Array, tau: float, kind: str) -> Row:
    found = quantized(standardized, tau, kind)
    b = found.b_hat
    errors = {
        "measured": found.error,
        "exact": float(quantization.exact(tau, b)),
        "printed": float(quantization.printed(tau, b)),
    }
    return {
        "clamped_fraction": found.clamped_fraction,
        "clamped_laplace": 2.0 * (1.0 - tau),
        "alpha": found.alpha,
        **{f"qe_{kind}": error for kind, error in errors.items()},
        **{f"qe_{kind}_relative": error / b**2 for kind, error in errors.items()},
        "entropy_measured": measured_entropy(np.sort(standardized, axis=None), found.bound),
        "entropy": float(clamped_entropy(tau, b)),
        "entropy_bound": float(laplace_bound(b)),
        "sign_entropy": sign_entropy(standardized),
    }
