"""What an evaluation of a network gives: the loss of each image, whether it was right, and the gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import torch

from recu_analysis.errors import InputError, kind_of_value, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Takes the model and returns the losses of images, see `recu_analysis.intervene`.
Evaluate: TypeAlias = Callable[[torch.nn.Module], Any]

#: Keys of a mapping that an evaluation returns.
LOSS, CORRECT = "loss", "correct"
#: Modules or layers that a message lists.
LISTED: Final = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one evaluation.

    Attributes
    ----------
    losses : ndarray of float64, shape (images,)
    correct : ndarray of bool, shape (images,), or None
        Whether the answer for each image is right; None if the evaluation does not tell.
    """

    losses: NDArray[np.float64]
    correct: NDArray[np.bool_] | None


def outcome(evaluate: Evaluate, model: torch.nn.Module) -> Outcome:
    """Evaluate a model in evaluation mode, without gradients.

    Raises
    ------
    InputError
        If the evaluation does not return a finite loss for each of two or more images, or it puts a part of the model
        into training mode.
    """
    model.eval()
    before = _training(model)
    with torch.no_grad():
        parts = [(_numbers(loss), _truths(correct)) for loss, correct in _parts(evaluate(model))]
    if changed := [name or "the whole model" for name in _training(model) if name not in before]:
        raise InputError(
            f"evaluate put {listed(changed, LISTED)} into training mode, in which losses depend on the batch; evaluate "
            "the model as it is given, without train()"
        )
    losses = np.concatenate([loss for loss, _ in parts]) if parts else np.empty(0)
    if losses.size < 2:
        raise InputError(f"evaluate returned the losses of {losses.size} images; a standard error needs two or more")
    if not np.isfinite(losses).all():
        raise InputError(f"evaluate returned {np.count_nonzero(~np.isfinite(losses))} losses that are NaN or infinite")
    told = [correct for _, correct in parts if correct is not None]
    right = np.concatenate(told) if told else None
    if right is not None and right.shape != losses.shape:
        raise InputError(
            f"evaluate returned {losses.size} losses, and for {right.size} images whether they are {CORRECT}; return "
            "one of each for every image"
        )
    return Outcome(losses, right)


def gradients(
    evaluate: Evaluate, model: torch.nn.Module, leaves: Sequence[torch.Tensor]
) -> list[NDArray[np.float64] | None]:
    """Gradient of the mean loss with respect to some tensors, in evaluation mode.

    None for a tensor that the losses do not depend on, as autograd sees it. An evaluation that yields its images in
    parts needs the memory of one part only.
    """
    model.eval()
    sums: list[NDArray[np.float64] | None] = [None] * len(leaves)
    images = 0
    with torch.enable_grad():
        for loss, _ in _parts(evaluate(model)):
            images += len(loss)
            if not (isinstance(loss, torch.Tensor) and loss.requires_grad):
                continue
            found = torch.autograd.grad(loss.sum(), leaves, allow_unused=True)
            for index, each in enumerate(found):
                if each is not None:
                    part, before = each.double().numpy(force=True), sums[index]
                    sums[index] = part if before is None else before + part
    return [None if each is None else each / images for each in sums]


def _training(model: torch.nn.Module) -> list[str]:
    """The names of the modules in training mode, which a model may keep on purpose."""
    return [name for name, module in model.named_modules() if module.training]


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    """The losses, and which images are right (or None), of each part that an evaluation returned or yields."""
    for part in value if isinstance(value, Iterator) else [value]:
        loss, correct = (part.get(LOSS), part.get(CORRECT)) if isinstance(part, Mapping) else (part, None)
        if isinstance(part, Mapping) and loss is None:
            raise InputError(f"evaluate returned a mapping without {LOSS!r}; it has {', '.join(map(str, part))}")
        if not isinstance(loss, (torch.Tensor, np.ndarray)):
            raise InputError(
                f"evaluate must return the losses as a tensor or an array, or a mapping with {LOSS!r}, not "
                f"{kind_of_value(loss)}"
            )
        if loss.ndim != 1:
            raise InputError(
                f"evaluate returned losses of shape {tuple(loss.shape)}; return one loss for each image, such as "
                "functional.cross_entropy(..., reduction='none')"
            )
        yield loss, correct


def _numbers(values: torch.Tensor | NDArray[Any]) -> NDArray[np.float64]:
    array = values.double().numpy(force=True) if isinstance(values, torch.Tensor) else values
    return np.array(array, dtype=np.float64)


def _truths(values: Any) -> NDArray[np.bool_] | None:
    return None if values is None else _numbers(torch.as_tensor(values)).astype(np.bool_)
