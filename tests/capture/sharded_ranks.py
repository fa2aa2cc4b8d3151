"""One process of a training whose weights are sharded: the gradients are given, so any number of processes agrees."""

import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import distribute_tensor

import recu_analysis as ra
from recu_analysis.errors import RecuError
from recu_analysis.nn import BinaryConv2d, BinaryLinear


def network():
    """Binary layers of 7, 3 and 5 rows: with four processes, their shards are uneven, and some are empty."""
    torch.manual_seed(0)
    return nn.Sequential(
        BinaryConv2d(2, 7, 3, padding=1, center=False),
        nn.BatchNorm2d(7),
        nn.Flatten(),
        BinaryLinear(7 * 16, 3),
        BinaryLinear(3, 5),
        nn.Linear(5, 2),
    )


def sharded(model, mesh, *, mixed=False):
    """The model in shards, every layer by itself, as a training of transformers does."""
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16) if mixed else MixedPrecisionPolicy()
    for module in (each for each in model if next(each.parameters(), None) is not None):
        fully_shard(module, mesh=mesh, mp_policy=policy)
    return fully_shard(model, mesh=mesh, mp_policy=policy)


def optimizer_of(model):
    return torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.5, weight_decay=0.01)


def step(model, optimizer, update):
    """A pass through the model, and an update by gradients that depend on the number of the update alone."""
    generator = torch.Generator().manual_seed(update)
    model(torch.randn(4, 2, 4, 4, generator=generator)).sum().backward()
    for parameter in model.parameters():
        gradient = torch.randn(parameter.shape, generator=generator) * 0.1
        if hasattr(parameter, "device_mesh"):
            gradient = distribute_tensor(gradient, parameter.device_mesh, parameter.placements, src_data_rank=None)
        parameter.grad = gradient
    optimizer.step()


def saved(model, optimizer):
    """The weights and the momentum as whole tensors."""
    state = [(name, each, optimizer.state[each]["momentum_buffer"]) for name, each in model.named_parameters()]
    whole = [(name, *(t.full_tensor() if hasattr(t, "full_tensor") else t for t in pair)) for name, *pair in state]
    return {name: (weight.detach().clone(), momentum.clone()) for name, weight, momentum in whole}


def load(model, optimizer, checkpoint):
    """Put whole tensors into a model that may be sharded."""
    for name, parameter in model.named_parameters():
        parts = checkpoint[name]
        if hasattr(parameter, "device_mesh"):
            mesh, placements = parameter.device_mesh, parameter.placements
            parts = [distribute_tensor(each, mesh, placements, src_data_rank=None) for each in parts]
        with torch.no_grad():
            parameter.copy_(parts[0])
        optimizer.state[parameter]["momentum_buffer"] = parts[1].clone()


def main(out, wanted):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank, size = distributed.get_rank(), distributed.get_world_size()
    names = ("replicas", "shards")
    mesh = init_device_mesh("cpu", (2, size // 2), mesh_dim_names=names) if wanted.get("hsdp") else None
    model = network()
    if not wanted.get("whole"):
        model = sharded(model, mesh or init_device_mesh("cpu", (size,)), mixed=wanted.get("mixed", False))
    optimizer = optimizer_of(model)
    begin = wanted.get("resume", 0)
    if begin:
        load(model, optimizer, torch.load(out / f"{begin}.pt"))
    told = out / f"{wanted.get('told', 'told')}-{rank}.txt"
    options = wanted.get("record", {}) | wanted.get(f"record-{rank}", {})
    if wanted.get("example"):
        options["example"] = torch.randn(2, 2, 4, 4)
    try:
        with ra.record(model, optimizer, out / wanted.get("run", "run"), resume=begin or None, **options) as recorder:
            for update in range(begin + 1, wanted["updates"] + 1):
                if wanted.get("clamp") == update:
                    with torch.no_grad():
                        model[0].weight.to_local().clamp_(-0.1, 0.1)
                if wanted.get("fail", {}).get(str(rank)) == update:
                    raise ValueError("the training of this process failed")
                step(model, optimizer, update)
                if wanted.get("kill", {}).get(str(rank)) == update:
                    os.kill(os.getpid(), signal.SIGKILL)
                if update % wanted.get("mark", 4) == 0:
                    recorder.mark(epoch=update // 4 - 1)
                    if wanted.get("save"):
                        checkpoint = saved(model, optimizer)
                        if rank == 0:
                            torch.save(checkpoint, out / f"{update}.pt")
    except (RecuError, ValueError) as error:
        told.write_text(f"{type(error).__name__}: {error}")
        if wanted.get("fail"):
            raise
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
