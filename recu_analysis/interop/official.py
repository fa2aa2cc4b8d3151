"""The checkpoint files of ReCU's authors: reading, writing, and loading into a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from recu_analysis.errors import CheckpointError, InputError, listed
from recu_analysis.interop.pytorch import is_plain, read_file
from recu_analysis.store.durable import replace_file
from recu_analysis.theory.validation import real

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

#: Prefix of all names in the state of a network that was wrapped in DataParallel.
WRAPPED = "module."
#: Part of the names in the state of a compiled module.
COMPILED = "_orig_mod."
#: Counter of BatchNorm, which torch before 0.4.1 did not have.
COUNTED = "num_batches_tracked"
#: Names that a sentence lists before it counts the rest.
LISTED = 5
#: Larger than any epoch or per cent.
LARGEST = 1e9


@dataclass(frozen=True, slots=True)
class OfficialCheckpoint:
    """The content of a checkpoint file of the authors' training.

    Attributes
    ----------
    state_dict : dict of str to Tensor
        Tensors on the CPU; names without ``module.``, every tau a scalar.
    epoch : int or None
        Number of finished epochs.
    name : str or None
        The authors' name of the network, such as resnet18_1w1a; several networks share it.
    best_top1 : float or None
        Best validation accuracy up to that epoch, in per cent.
    optimizer, lr_scheduler : dict or None
        States of optimizer and scheduler, unchanged.
    """

    state_dict: dict[str, torch.Tensor]
    epoch: int | None = None
    name: str | None = None
    best_top1: float | None = None
    optimizer: dict[str, Any] | None = None
    lr_scheduler: dict[str, Any] | None = None

    @property
    def classes(self) -> int | None:
        """Number of outputs of the last layer, which is named linear or fc; None if there is neither."""
        weight = self.state_dict.get("linear.weight", self.state_dict.get("fc.weight"))
        return weight.shape[0] if weight is not None and weight.ndim == 2 else None


def load_official(path: str | Path, *, unsafe_load: bool = False) -> OfficialCheckpoint:
    """Read a checkpoint.pth.tar or model_best.pth.tar of the authors' training, of any version of torch.

    No code in the file runs without `unsafe_load`: only tensors and plain values are read.

    Parameters
    ----------
    path : str or Path
    unsafe_load : bool
        Restore any Python object, which runs any code that the file contains.

    Returns
    -------
    OfficialCheckpoint

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or not a checkpoint, or has objects that only code can restore.
    """
    path = Path(path)
    entries = read_file(path, unsafe_load=unsafe_load)
    if not isinstance(entries, dict) or not isinstance(entries.get("state_dict"), dict):
        raise CheckpointError(
            f"{path} is not a checkpoint of ReCU's authors: it has {_content(entries)}, not a dict with a state_dict"
        )
    name = entries.get("model")
    epoch = _number(path, entries, "epoch")
    return OfficialCheckpoint(
        state_dict=_state(path, entries["state_dict"]),
        epoch=None if epoch is None else int(epoch),
        name=name if isinstance(name, str) and name.isprintable() else None,
        best_top1=_number(path, entries, "best_prec1"),
        optimizer=_mapping(entries, "optimizer"),
        lr_scheduler=_mapping(entries, "lr_scheduler"),
    )


def save_official(
    path: str | Path,
    model: nn.Module,
    *,
    epoch: int,
    name: str,
    best_top1: float,
    optimizer: torch.optim.Optimizer | None = None,
    lr_scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> None:
    """Write a checkpoint that the authors' code can read, completely or not at all.

    Parameters
    ----------
    path : str or Path
        An existing file is replaced; the authors name it checkpoint.pth.tar.
    model : torch.nn.Module
        The prefix of torch.compile is removed from its names.
    epoch : int
        Number of finished epochs.
    name : str
        The authors' name of the network, such as resnet20_1w1a.
    best_top1 : float
        Best validation accuracy so far, in per cent.
    optimizer, lr_scheduler : optional
        Optimizer and scheduler whose states are saved; the authors' code needs them to continue a training, but not to
        evaluate it.

    Raises
    ------
    InputError
        If `best_top1` is not a finite number, or `epoch` is not a whole number of at least 0.
    CheckpointError
        If the file cannot be written.
    """
    path = Path(path)
    finished = real(epoch, "epoch")
    if not (0.0 <= finished < LARGEST and finished.is_integer()):
        raise InputError(f"epoch must be a whole number of at least 0, not {epoch!r:.40}")
    if not abs(real(best_top1, "best_top1")) < LARGEST:
        raise InputError(f"best_top1 must be a finite number, not {best_top1!r:.40}")
    entries = {
        "epoch": int(finished),
        "model": name,
        "state_dict": {key.replace(COMPILED, ""): value.detach().cpu() for key, value in model.state_dict().items()},
        # numpy numbers would be stored as objects that only code can restore.
        "best_prec1": float(best_top1),
        "optimizer": optimizer.state_dict() if optimizer else {},
        "lr_scheduler": lr_scheduler.state_dict() if lr_scheduler else {},
    }
    try:
        replace_file(path, lambda file: torch.save(entries, file))
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise CheckpointError(f"{path} cannot be written: {reason}") from error


def load_into(model: nn.Module, checkpoint: OfficialCheckpoint) -> None:
    """Load the state of a checkpoint into a network; if it does not fit, the network stays unchanged.

    Parameters
    ----------
    model : torch.nn.Module
    checkpoint : OfficialCheckpoint

    Raises
    ------
    CheckpointError
        If tensors are missing, unexpected or of another shape; the message names them.
    """
    own = model.state_dict()
    # The counters of old files start from the network's values, as in torch itself for files of that version.
    given = {key: value for key, value in own.items() if key.endswith(COUNTED)} | checkpoint.state_dict
    shapes = [
        f"{key} ({_describe(given[key])}, the network has {_describe(own[key])})"
        for key in own
        if key in given and not _fits(key, given[key], own[key])
    ]
    problems = {
        "missing": [key for key in own if key not in given],
        "unexpected": [key for key in given if key not in own],
        "of another shape": shapes,
    }
    found = [f"{what} {listed(names, LISTED)}" for what, names in problems.items() if names]
    if found:
        raise CheckpointError(f"the checkpoint does not fit {type(model).__name__}: {'; '.join(found)}")
    model.load_state_dict(given)


def _fits(key: str, given: torch.Tensor, own: torch.Tensor) -> bool:
    """Whether a tensor can replace the network's own; the layers convert the shape of tau."""
    if key.endswith(".tau") and given.numel() == own.numel() == 1:
        return given.is_floating_point()
    return _describe(given) == _describe(own)


def _content(entries: Any) -> str:
    if not isinstance(entries, dict):
        return f"a {type(entries).__name__}"
    return f"a dict with the entries {listed([repr(key) for key in entries], LISTED)}" if entries else "an empty dict"


def _state(path: Path, entries: Mapping[Any, Any]) -> dict[str, torch.Tensor]:
    """The tensors by the network's names, every tau a scalar."""
    for key, value in entries.items():
        # Names are shown on terminals, where some characters are control commands.
        if not (isinstance(key, str) and key.isprintable() and is_plain(value)):
            raise CheckpointError(f"the state_dict of {path} has {key!r}, which is not an ordinary named tensor")
    wrapped = bool(entries) and all(key.startswith(WRAPPED) for key in entries)
    state = {key.removeprefix(WRAPPED) if wrapped else key: value for key, value in entries.items()}
    return {
        key: value.reshape(()) if key.endswith(".tau") and value.numel() == 1 else value for key, value in state.items()
    }


def _number(path: Path, entries: Mapping[str, Any], name: str) -> float | None:
    """An entry that is a number or a one-element tensor, as a number; None if it is missing."""
    value = entries.get(name)
    if isinstance(value, torch.Tensor) and value.numel() == 1 and is_plain(value):
        value = value.item()
    if value is not None and not (isinstance(value, (int, float)) and abs(value) < LARGEST):
        raise CheckpointError(f"{path} is damaged: its {name} is not a number in a valid range")
    return value


def _mapping(entries: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value = entries.get(name)
    return value if isinstance(value, dict) else None


def _describe(tensor: torch.Tensor) -> str:
    shape = "x".join(map(str, tensor.shape)) or "a scalar"
    return shape if tensor.is_floating_point() else f"{shape} of {str(tensor.dtype).removeprefix('torch.')}"
