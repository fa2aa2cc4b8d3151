"""One process of a training whose weights are sharded: the gradients are given, so any number of processes agrees."""

import errno
import json
import os
import signal
import sys
import time
import traceback
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import distribute_tensor

import recu_analysis as ra
from recu_analysis.nn import BinaryConv2d, BinaryLinear
from recu_analysis.store import shard_writer


def network():
    """Binary layers of 7, 3 and 5 rows: with four processes, their shards are uneven, and some are empty."""
    torch.manual_seed(0)
    return nn.Sequential(
        BinaryConv2d(2, 7, 3, padding=1, center=False),
        nn.Hardtanh(),
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


def made(wanted, size):
    """The model of a training, in shards unless it is wanted whole, and its optimizer."""
    shape, names = ((2, size // 2), ("replicas", "shards")) if wanted.get("hsdp") else ((size,), ("shards",))
    model = network()
    if "other-states" in wanted:
        model[3].forward = partial(turned, model[3], wanted["other-states"])
    if not wanted.get("whole"):
        mesh = init_device_mesh("cpu", shape, mesh_dim_names=names)
        model = sharded(model, mesh, mixed=wanted.get("mixed", False))
    return model, optimizer_of(model)


def train(out, wanted, rank, size):
    """Record one training in this process, as `wanted` tells."""
    model, optimizer = made(wanted, size)
    begin = wanted.get("resume", 0)
    if begin:
        load(model, optimizer, torch.load(out / f"{begin}.pt"))
    options = wanted.get("record", {}) | wanted.get(f"record-{rank}", {})
    options |= {"example": torch.randn(2, 2, 4, 4)} if wanted.get("example") else {}
    with ra.record(model, optimizer, out / wanted["run"], resume=begin or None, **options) as recorder:
        for update in range(begin + 1, wanted["updates"] + 1):
            happen(wanted, rank, update, model)
            step(model, optimizer, update)
            if update % wanted.get("mark", 4) == 0:
                recorder.mark(epoch=update // 4 - 1)
                if wanted.get("save"):
                    checkpoint = saved(model, optimizer)
                    if rank == 0:
                        torch.save(checkpoint, out / f"{update}.pt")


def happen(wanted, rank, update, model):
    """What a training wants to happen before an update, in every process or in one."""
    if wanted.get("clamp") == update:
        weight = model[0].weight.detach()
        (weight.to_local() if hasattr(weight, "to_local") else weight).clamp_(-0.1, 0.1)
    if wanted.get("fail") == [rank, update]:
        raise ValueError("the training of this process failed")
    if wanted.get("full-disk") == [rank, update]:
        shard_writer.save_shard = no_room


def no_room(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def turned(layer, row, values):
    """The forward pass of a layer, in which one row has other states than the recorded ones."""
    weight = (layer.weight - layer.weight.mean(dim=1, keepdim=True)).sign().detach()
    weight[row, ::8] *= -1
    return nn.functional.linear(values, layer.weight + (weight - layer.weight).detach())


def process(out, wanted, rank, size, store=None):
    """One process from its start to its end; what ended it is told in a file."""
    torch.set_num_threads(1)
    group = {"rank": rank, "world_size": size, "init_method": f"file://{store}" if store else None}
    distributed.init_process_group("gloo", timeout=timedelta(seconds=60), **group)
    try:
        train(out, wanted, rank, size)
    except Exception as error:
        (out / f"{wanted['run']}-{rank}.txt").write_text(f"{type(error).__name__}: {error}")
        return 1
    distributed.destroy_process_group()
    return 0


def forked(out, wanted):
    """Fork the processes of a training; this one has imported everything, so they start at once."""
    store = out / f"store-{wanted['run']}-{wanted.get('resume', 0)}"
    size, pids = wanted["ranks"], []
    for rank in range(size):
        pids.append(os.fork())
        if not pids[-1]:
            code = 1
            try:
                code = process(out, wanted, rank, size, store)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
    if "kill" in wanted:
        rank, seconds = wanted["kill"]
        while not (out / wanted["run"] / "run.json").exists():
            time.sleep(0.01)
        time.sleep(seconds)
        os.kill(pids[rank], signal.SIGKILL)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


if __name__ == "__main__":
    folder, trainings = Path(sys.argv[1]), json.loads(sys.argv[2])
    if "RANK" in os.environ:  # torchrun starts the processes
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        sys.exit(process(folder, trainings[0], rank, size))
    for each in trainings:
        (folder / f"{each['run']}.json").write_text(json.dumps(forked(folder, each)))
