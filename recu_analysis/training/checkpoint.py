"""What a training needs to go on: one safetensors file of model, optimizer and position, replaced as a whole."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from recu_analysis.errors import DamagedError, InputError, StoreError
from recu_analysis.store.durable import as_store_error, commit
from recu_analysis.store.format import CHECKPOINTS, HISTORY, RUN_FILE
from recu_analysis.store.sealing import digest, seal
from recu_analysis.training.config import TrainingConfig

if TYPE_CHECKING:
    from pathlib import Path

    import torch

NAME = "last.safetensors"
FORMAT = "recu-analysis-checkpoint/1"
#: What optimizers keep for a parameter, by its name in the file and in torch.
KEPT = {"momentum": "momentum_buffer", "exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq", "step": "step"}

#: Weights of the last layer, a row a class, as the networks call them.
HEADS = ("linear.weight", "fc.weight")


@dataclass(frozen=True, slots=True)
class TrainingPosition:
    """How far a training came: epochs finished, updates applied, what it was told, by how many processes, on what.

    `data` is the fingerprint of the data set, empty where it was not yet saved.
    """

    epochs: int
    update: int
    config: TrainingConfig
    processes: int = 1
    data: str = ""


def save(run_dir: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, position: TrainingPosition) -> None:
    """Replace the checkpoint of a run directory, whole and durable or not at all.

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
        # In the folder whose leftovers the next start sweeps away.
        commit(run_dir / HISTORY, folder / NAME, lambda file: save_file(tensors, file, metadata=metadata))
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"{folder / NAME} cannot be written: {reason}") from error


def load_position(run_dir: Path) -> TrainingPosition:
    """How far the training in a run directory came.

    Raises
    ------
    StoreError
        If there is no run directory or no checkpoint in it.
    DamagedError
        If it cannot be read.
    """
    path = run_dir / CHECKPOINTS / NAME
    with as_store_error(run_dir, "cannot be read"):
        exists = run_dir.exists()
    if not exists:
        raise StoreError(f"{run_dir} does not exist, so there is no training to go on with; start it without --resume")
    if not path.exists() and not (run_dir / RUN_FILE).exists():
        raise StoreError(f"{run_dir} is not a run directory, so there is no training to go on with")
    if not path.exists():
        raise StoreError(
            f"{run_dir} has no checkpoint to go on from: its training was not started by recu-analyze train, or died "
            "before its first update; start again with --overwrite"
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
        raise DamagedError(
            f"{path} is damaged: its position is not the one that was saved; start again with --overwrite"
        )
    counts = (position.epochs, position.update, position.processes)
    if metadata.get("format") != FORMAT or any(type(count) is not int or count < 0 for count in counts):
        raise DamagedError(f"{path} is not a checkpoint of recu-analyze train")
    return position


def load_state(run_dir: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put the state of a run directory's checkpoint into a model and its optimizer.

    Raises
    ------
    DamagedError
        If the file cannot be read or does not fit the model.
    """
    path = run_dir / CHECKPOINTS / NAME
    metadata, tensors = _read(path, with_tensors=True)
    if metadata.get("digests") != json.dumps(_digests(tensors), sort_keys=True):
        raise DamagedError(
            f"{path} is damaged: its tensors are not those that were saved; start again with --overwrite"
        )
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
    """ValueError if the last layer was made for another number of classes; torch would list all its shapes."""
    for name, expected in model.state_dict().items():
        if name in HEADS and name in state and len(state[name]) != len(expected):
            raise ValueError(f"it tells {len(state[name])} classes apart, and the data set has {len(expected)}")


def _kept(tensors: dict[str, torch.Tensor]) -> dict[int, dict[str, torch.Tensor]]:
    """What the optimizer keeps for each of its parameters."""
    kept: dict[int, dict[str, torch.Tensor]] = {}
    for path, value in tensors.items():
        name, _, index = path.partition("/")
        if name in KEPT:
            kept.setdefault(int(index), {})[KEPT[name]] = value
    return kept


def _digests(tensors: dict[str, torch.Tensor]) -> dict[str, str]:
    return {name: digest(name, tensor.numpy(force=True)) for name, tensor in tensors.items()}


def _check_kept(kept: dict[int, dict[str, torch.Tensor]], optimizer: torch.optim.Optimizer) -> None:
    """ValueError unless every parameter has what its optimizer keeps; torch itself would notice at the next step."""
    groups = ((group, parameter) for group in optimizer.param_groups for parameter in group["params"])
    expected = {index: _shapes(*pair) for index, pair in enumerate(groups)}
    found = {index: {key: tuple(value.shape) for key, value in state.items()} for index, state in kept.items()}
    if found != {index: shapes for index, shapes in expected.items() if shapes}:
        raise ValueError("what its optimizer kept is of other parameters")


def _shapes(group: dict[str, Any], parameter: torch.Tensor) -> dict[str, tuple[int, ...]]:
    """Shapes of what SGD or Adam keeps for a parameter of a group, by its name in torch."""
    shape = tuple(parameter.shape)
    if "betas" in group:
        return {"exp_avg": shape, "exp_avg_sq": shape, "step": ()}
    return {"momentum_buffer": shape} if group["momentum"] else {}


def _read(path: Path, *, with_tensors: bool) -> tuple[dict[str, str], dict[str, Any]]:
    if path.is_symlink():
        raise DamagedError(f"{path} is a link, which is not followed; put the file itself there")
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys()) if with_tensors else []
            return file.metadata() or {}, {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise DamagedError(
            f"{path} is cut short, damaged, or no checkpoint ({error}); put a copy there, or train again"
        ) from None


def check_same(before: TrainingPosition, now: TrainingConfig, processes: int, run_dir: Path) -> None:
    """InputError unless a resumed training is told what it was told when it began, and by as many processes."""
    # The data may have moved meanwhile.
    different = now.differences(replace(before.config, data_dir=now.data_dir))
    if processes != before.processes:
        different.append(f"processes ({processes}, not {before.processes})")
    if different:
        raise InputError(
            f"{run_dir} was begun with other settings and cannot go on with these: {', '.join(different)}; "
            "give the same ones, or start again with --overwrite"
        )


def check_same_data(before: TrainingPosition, fingerprint: str, run_dir: Path) -> None:
    """InputError unless a resumed training has the labels that it began with; where they lie may have changed."""
    if before.data not in ("", fingerprint):
        raise InputError(
            f"{run_dir} was begun on other images: number, size or labels are not those of this data set; give the "
            "same one, or start again with --overwrite"
        )
