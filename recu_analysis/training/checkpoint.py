"""The checkpoint from which a training continues: one safetensors file of model, optimizer and position."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import save_file

from recu_analysis.errors import DamagedError, InputError, StoreError
from recu_analysis.interop.safetensors_file import open_safetensors
from recu_analysis.store.durable import as_store_error, commit
from recu_analysis.store.format import CHECKPOINTS, HISTORY, RUN_FILE
from recu_analysis.store.sealing import digest, seal
from recu_analysis.training.config import TrainingConfig

if TYPE_CHECKING:
    from pathlib import Path

    import torch

NAME = "last.safetensors"
FORMAT = "recu-analysis-checkpoint/1"
#: Optimizer state of a parameter: name in the file -> name in torch.
KEPT = {"momentum": "momentum_buffer", "exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq", "step": "step"}

#: Names of the last layer's weights, which have one row per class.
HEADS = ("linear.weight", "fc.weight")


@dataclass(frozen=True, slots=True)
class TrainingPosition:
    """Progress of a training: finished epochs, number of updates, configuration, number of processes, and data.

    `data` is the fingerprint of the data set, empty in checkpoints from before it was saved.
    """

    epochs: int
    update: int
    config: TrainingConfig
    processes: int = 1
    data: str = ""


def save(run_dir: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, position: TrainingPosition) -> None:
    """Replace the checkpoint of a run directory completely and durably, or not at all.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    tensors = {f"model/{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"{name}/{index}": state[key].contiguous() for name, key in KEPT.items() if key in state}
    content = asdict(position) | {"config": position.config.to_dict()}
    text = json.dumps(content, sort_keys=True)
    metadata = {
        "format": FORMAT,
        "position": text,
        "seal": seal(text),
        "digests": json.dumps(_digests(tensors), sort_keys=True),
    }
    folder = run_dir / CHECKPOINTS
    try:
        for each in (folder, run_dir / HISTORY):
            each.mkdir(exist_ok=True)
        # Staged in history, where the next start deletes leftovers.
        commit(run_dir / HISTORY, folder / NAME, lambda file: save_file(tensors, file, metadata=metadata))
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"{folder / NAME} cannot be written: {reason}") from error


def load_position(run_dir: Path) -> TrainingPosition:
    """The progress of the training in a run directory.

    Raises
    ------
    StoreError
        If there is no run directory or no checkpoint in it.
    DamagedError
        If the checkpoint cannot be read.
    """
    path = run_dir / CHECKPOINTS / NAME
    with as_store_error(run_dir, "cannot be read"):
        exists = run_dir.exists()
    if not exists:
        raise StoreError(f"{run_dir} does not exist, so there is no training to resume; start it without --resume")
    if not path.exists() and not (run_dir / RUN_FILE).exists():
        raise StoreError(f"{run_dir} is not a run directory, so there is no training to resume; check the folder")
    if not path.exists():
        raise StoreError(
            f"{run_dir} has no checkpoint to resume from: its training was not started by recu-analyze train, or "
            "stopped before its first update; start again with --overwrite"
        )
    metadata = _read(path, with_tensors=False)[0]
    try:
        content = json.loads(metadata["position"])
        config = TrainingConfig.from_dict(content["config"])
        position = TrainingPosition(
            content["epochs"], content["update"], config, content.get("processes", 1), content.get("data", "")
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"{path} is damaged: its position cannot be read ({error})") from None
    if metadata.get("seal") != seal(metadata["position"]):
        raise DamagedError(f"{path} is damaged: its position does not match its seal; start again with --overwrite")
    counts = (position.epochs, position.update, position.processes)
    if metadata.get("format") != FORMAT or any(type(count) is not int or count < 0 for count in counts):
        raise DamagedError(f"{path} is not a checkpoint of recu-analyze train")
    return position


def load_state(run_dir: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Load the state of a run directory's checkpoint into a model and its optimizer.

    Raises
    ------
    DamagedError
        If the file cannot be read or does not fit the model.
    """
    path = run_dir / CHECKPOINTS / NAME
    metadata, tensors = _read(path, with_tensors=True)
    if metadata.get("digests") != json.dumps(_digests(tensors), sort_keys=True):
        raise DamagedError(f"{path} is damaged: its tensors do not match their checksums; start again with --overwrite")
    state = {name.removeprefix("model/"): value for name, value in tensors.items() if name.startswith("model/")}
    try:
        _check_head(state, model)
        kept = _kept(tensors)
        if json.loads(metadata["position"])["update"] > 0:
            _check_kept(kept, optimizer)
        model.load_state_dict(state)
        optimizer.load_state_dict({"state": kept, "param_groups": optimizer.state_dict()["param_groups"]})
    except (RuntimeError, ValueError) as error:
        raise DamagedError(f"{path} does not fit the network: {str(error).splitlines()[0]}") from None


def _check_head(state: dict[str, torch.Tensor], model: torch.nn.Module) -> None:
    """Raise ValueError if the last layer has another number of classes; torch's own error would list all shapes."""
    for name, expected in model.state_dict().items():
        if name in HEADS and name in state and len(state[name]) != len(expected):
            raise ValueError(f"it has {len(state[name])} classes, but the data set has {len(expected)}")


def _kept(tensors: dict[str, torch.Tensor]) -> dict[int, dict[str, torch.Tensor]]:
    """The optimizer state of each parameter, by the parameter's index."""
    kept: dict[int, dict[str, torch.Tensor]] = {}
    for path, value in tensors.items():
        name, _, index = path.partition("/")
        if name in KEPT:
            kept.setdefault(int(index), {})[KEPT[name]] = value
    return kept


def _digests(tensors: dict[str, torch.Tensor]) -> dict[str, str]:
    return {name: digest(name, tensor.numpy(force=True)) for name, tensor in tensors.items()}


def _check_kept(kept: dict[int, dict[str, torch.Tensor]], optimizer: torch.optim.Optimizer) -> None:
    """Raise ValueError unless every parameter has its optimizer state; torch would notice only at the next step."""
    groups = ((group, parameter) for group in optimizer.param_groups for parameter in group["params"])
    expected = {index: _shapes(*pair) for index, pair in enumerate(groups)}
    found = {index: {key: tuple(value.shape) for key, value in state.items()} for index, state in kept.items()}
    if found != {index: shapes for index, shapes in expected.items() if shapes}:
        raise ValueError("its optimizer state is of other parameters")


def _shapes(group: dict[str, Any], parameter: torch.Tensor) -> dict[str, tuple[int, ...]]:
    """Shapes of the state that SGD or Adam keeps for a parameter of a group, by name in torch."""
    shape = tuple(parameter.shape)
    if "betas" in group:
        return {"exp_avg": shape, "exp_avg_sq": shape, "step": ()}
    return {"momentum_buffer": shape} if group["momentum"] else {}


def _read(path: Path, *, with_tensors: bool) -> tuple[dict[str, str], dict[str, Any]]:
    if path.is_symlink():
        raise DamagedError(f"{path} is a link, which is not followed; replace it by the file itself")
    try:
        with open_safetensors(path) as file:
            names = list(file.keys()) if with_tensors else []
            return file.metadata() or {}, {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise DamagedError(
            f"{path} is cut short, damaged, or not a checkpoint ({error}); restore a copy, or train again"
        ) from None


def check_same(before: TrainingPosition, now: TrainingConfig, processes: int, run_dir: Path) -> None:
    """Raise InputError unless a resumed training has its earlier settings and number of processes."""
    # The data may have moved meanwhile.
    different = now.differences(replace(before.config, data_dir=now.data_dir, data_file=now.data_file))
    if processes != before.processes:
        different.append(f"processes ({processes}, not {before.processes})")
    if different:
        raise InputError(
            f"{run_dir} was started with other settings and cannot be resumed with these: {', '.join(different)}; "
            "use the same settings, or start again with --overwrite"
        )


def check_same_data(before: TrainingPosition, fingerprint: str, run_dir: Path) -> None:
    """Raise InputError unless a resumed training has the same data set; its folder may have moved."""
    if before.data not in ("", fingerprint):
        raise InputError(
            f"{run_dir} was started with another data set: number, size or labels of the images differ, or the text; "
            "use the same data set, or start again with --overwrite"
        )
