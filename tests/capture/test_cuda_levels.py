"""Recording of weights with more than two levels by one kernel an update: equal to the record on a CPU.

Without a GPU, the kernels run in Triton's interpreter.
"""

import contextlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from recu_analysis.capture.accumulate import storable
from recu_analysis.capture.kernel import FOLD_EVERY
from recu_analysis.capture.levels import CpuLevels, DeviceLevels
from recu_analysis.theory.levels import Quantizer
from tests.capture.level_layers import QUANTIZERS, Quantized

INTERPRETED = [
    pytest.mark.extras,
    pytest.mark.skipif(
        os.environ.get("TRITON_INTERPRET") != "1", reason="Triton interprets where TRITON_INTERPRET=1 is set beforehand"
    ),
    pytest.mark.filterwarnings("ignore"),  # the interpreter's warnings are not ours
]
ON_A_GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


@pytest.fixture(params=[pytest.param("cpu", marks=INTERPRETED), pytest.param("cuda", marks=ON_A_GPU)])
def device(request, monkeypatch):
    """Where the kernels run: in the interpreter on the CPU, or on a GPU. They process a few weights at a time."""
    pytest.importorskip("triton")
    from recu_analysis.capture import cuda_levels

    monkeypatch.setattr(cuda_levels, "MOST_AT_ONCE", 8)
    if request.param == "cpu":
        monkeypatch.setattr(torch.cuda, "current_device", lambda: None)
        monkeypatch.setattr(torch.cuda, "device", lambda _: contextlib.nullcontext())
    return request.param


class Three:
    """What the CPU, torch operations and the kernel record of the same weights, with the same steps."""

    def __init__(self, weight, quantizer, steps, device):
        from recu_analysis.capture.cuda_levels import CudaLevels

        self.weight, self.device = weight, device
        # With these numbers, rows fold their sums at different updates, beginning with the second.
        numbers = FOLD_EVERY - 1 - np.arange(len(weight))
        self.kinds = [
            lambda: CpuLevels(weight, quantizer, steps, numbers=numbers),
            lambda: DeviceLevels(weight, quantizer, steps),
            lambda: CudaLevels(
                weight.to(device), quantizer, lambda: [each.to(device) for each in steps()], numbers=numbers
            ),
        ]
        self.sums = [kind() for kind in self.kinds]

    def advance(self, number):
        """An update that resulted in the present weights; compare what can be asked within a window."""
        for each in self.sums[:2]:
            each.advance(self.weight, number)
        self.sums[2].advance(self.weight.to(self.device), number)
        every = torch.arange(self.weight.numel())
        looked = self.sums[2].look(every.to(self.device)).cpu()
        for each in self.sums[:2]:
            expected = each.look(every)
            torch.testing.assert_close(looked[[0, 2]], expected[[0, 2]], rtol=0, atol=0, equal_nan=True)
            torch.testing.assert_close(looked[1], expected[1], rtol=1e-12, atol=0, equal_nan=True)
            assert torch.equal(each.flipped_at(number), self.sums[2].flipped_at(number).cpu())

    def exchange_states(self):
        """The CPU and the kernel go on from the state that the other one saves."""
        states = [each.state() for each in self.sums]
        assert states[0].keys() == states[1].keys() == states[2].keys()
        self.sums = [kind() for kind in self.kinds]
        for each, state in zip(self.sums, (states[2], states[1], states[0]), strict=True):
            each.load(state)

    def take(self):
        """The window of the kernel, which equals the others."""
        cpu, torch_, cuda = (each.take() for each in self.sums)
        for other, rounded in ((cpu, {"zpath"}), (torch_, {"path", "zpath"})):
            assert other.keys() == cuda.keys()
            for key, value in other.items():
                assert np.asarray(value).dtype == np.asarray(cuda[key]).dtype, key
                rtol = 2e-6 if key in rounded else 0
                np.testing.assert_allclose(cuda[key], value, rtol=rtol, atol=0, err_msg=key)
        return cuda


def layer_of(name, dtype):
    torch.manual_seed(0)
    layer = Quantized(12, 8, *QUANTIZERS[name]).to(dtype)
    weight = layer.weight.detach()
    return layer, weight, lambda: tuple(each.reshape(-1).clone() for each in layer.steps(storable(weight)))


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, torch.float32) for name in QUANTIZERS),
        *((name, torch.float64) for name in ("bitnet", "twn", "learned steps")),
        *((name, torch.bfloat16) for name in ("fixed threshold", "minmax, 3 bits")),
    ],
)
def test_the_kernel_agrees(name, dtype, device):
    layer, weight, steps = layer_of(name, dtype)
    three = Three(weight, layer.quantizer, steps, device)
    generator = torch.Generator().manual_seed(3)
    flips = 0
    for number in range(1, 7):
        moved = 0.05 * torch.randn(weight.shape, generator=generator)
        weight.add_(moved.to(dtype) * (number != 2))  # once, nothing moves
        weight[2] = 0.01 * number
        if hasattr(layer, "step"):
            layer.step.data.mul_(1.03 if number != 3 else 1.0)
        three.advance(number)
        if number == 5:
            three.exchange_states()
        if number in {3, 6}:
            taken = three.take()
            assert taken["transitions"].sum() == 3 * weight.numel()
            flips += taken["flips"].sum()
    assert flips > 20
    assert not taken["zpath"][2].any() or layer.quantizer.group == "tensor"


WAYS = {
    "ternary": Quantizer("ternary"),
    "product": Quantizer("uniform", -3, 2, inverse=True),
    "division": Quantizer("uniform", 0, 6, group=4),
    "tensor": Quantizer("uniform", -128, 127, group="tensor"),
}
SPECIAL = [0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e-44, -1e-44, 3e38]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("way", WAYS)
def test_ties_and_special_values(way, dtype, device):
    quantizer = WAYS[way]
    weight = torch.zeros(6, 8, dtype=dtype)
    groups = quantizer.groups((6, 8))
    step, zero = torch.full((groups,), 0.25, dtype=dtype), torch.zeros(groups, dtype=dtype)
    three = Three(weight, quantizer, lambda: (step, zero), device)
    generator = torch.Generator().manual_seed(1)
    ties = 0.125 * torch.arange(-20, 21, dtype=dtype)  # at thresholds, and at the states between them
    beside = torch.tensor([-torch.inf, torch.inf], dtype=dtype)
    for number in range(1, 9):
        drawn = ties[torch.randint(len(ties), (6, 8), generator=generator)]
        nearest = torch.nextafter(drawn, beside[torch.randint(2, (6, 8), generator=generator)])
        weight.copy_(torch.where(torch.rand(6, 8, generator=generator) < 0.5, drawn, nearest))
        if quantizer.group != "tensor" or number > 5:
            weight[1] = torch.tensor(SPECIAL, dtype=dtype).roll(number)
        weight[2] = drawn[2, 0]
        step[0] = (0.25, 0.3, 0.0, float("nan"), 1e-40, 1.0)[number % 6]
        zero[-1] = (0.0, 2.0, -1.0)[number % 3] if quantizer.kind == "uniform" else 0.0
        three.advance(number)
    taken = three.take()
    assert len(taken["flipped"]) > 30


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_quotients_are_those_of_the_network(dtype, device, monkeypatch):
    from recu_analysis.capture import cuda_levels

    monkeypatch.setattr(cuda_levels, "MOST_AT_ONCE", 512)
    quantizer = Quantizer("uniform", -128, 127)
    generator = torch.Generator().manual_seed(2)
    step = (0.01 + torch.rand(6, generator=generator, dtype=torch.float64)).to(dtype)
    weight = torch.zeros(6, 300, dtype=dtype)
    three = Three(weight, quantizer, lambda: (step, torch.zeros_like(step)), device)
    half = torch.randint(-128, 128, weight.shape, generator=generator) + 0.5
    weight.copy_(half * step[:, None])  # the quotient is within one rounding of a half
    for number in (1, 2, 3):
        weight.copy_(torch.nextafter(weight, weight.new_tensor((torch.inf, -torch.inf, -torch.inf)[number - 1])))
        three.advance(number)
    assert three.take()["flips"].sum() > 1000


@pytest.mark.parametrize("shape", [(5, 1), (1, 40), (3, 2, 3, 3), (1, 1)])
@pytest.mark.parametrize("group", ["tensor", "channel"])
def test_shapes(shape, group, device):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    steps = torch.full((1 if group == "tensor" else shape[0],), 0.5)
    quantizer = Quantizer("uniform", -2, 1, group=group)
    three = Three(weight, quantizer, lambda: (steps, torch.zeros_like(steps)), device)
    for number in range(1, 5):
        weight.mul_(-0.8)
        three.advance(number)
    three.take()


@pytest.mark.parametrize("group", ["tensor", "channel"])
def test_the_z_of_weights_that_never_move_does_not_move(group, device):
    from recu_analysis.capture.cuda_levels import CudaLevels

    weight = torch.randn((4, 37), generator=torch.Generator().manual_seed(0)).to(device)
    quantizer = Quantizer("uniform", -2, 1, group=group)
    steps = torch.full((quantizer.groups((4, 37)),), 0.5)
    sums = CudaLevels(weight, quantizer, lambda: (steps, torch.zeros_like(steps)))
    for number in range(1, 4):
        steps.mul_(1.3)
        sums.advance(weight, number)
    taken = sums.take()
    assert not taken["path"].any()
    assert not taken["zpath"].any()
    assert taken["weight_flips"] == 0
    assert taken["threshold_flips"] == taken["flips"].sum() > 10


def test_it_begins_at_the_end_of_a_stored_window(device):
    layer, weight, steps = layer_of("minmax, 3 bits", torch.float32)
    three = Three(weight, layer.quantizer, steps, device)
    step, zero = (each.numpy() for each in steps())
    direction = np.resize(np.array([1, -1, 0], np.int8), weight.shape)
    for each in three.sums:
        each.take_up(1.5 * step, zero.astype(np.int64), direction)
    for number in range(1, 4):
        weight.mul_(-1)
        three.advance(number)
    assert three.take()["reversals"].sum() > 10


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("quantizer", [Quantizer.bitnet(), Quantizer.of_bits(4, rule="maxabs", group="channel")])
def test_an_update_does_not_wait_for_the_device(quantizer):
    from recu_analysis.capture.accumulator_choice import layer_accumulator
    from recu_analysis.capture.cuda_levels import CudaLevels
    from recu_analysis.capture.steps import steps_of
    from recu_analysis.store.header import LayerSpec

    weight = torch.randn(64, 32, 3, 3, device="cuda")
    spec = LayerSpec("layer", tuple(weight.shape), "float32", "quantized", None, quantizer=quantizer)
    sums = layer_accumulator(weight, spec, None, steps=lambda: steps_of(quantizer, weight))
    assert isinstance(sums, CudaLevels)
    for number in range(1, 6):
        weight.add_(torch.randn_like(weight), alpha=0.01)
        torch.cuda.set_sync_debug_mode("error")
        try:
            sums.advance(weight, number)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    taken = sums.take()
    assert taken["transitions"].sum() == 5 * weight.numel()
    np.testing.assert_array_equal(taken["weight"], weight.cpu().numpy())


#: Compiles the kernels of a layer for a GPU, which needs none, with the arguments with which they would start.
COMPILE = """
import contextlib, re, sys
import torch, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from recu_analysis.capture import cuda_levels
from recu_analysis.theory.levels import Quantizer

TYPES = {torch.float32: "*fp32", torch.float64: "*fp64", torch.int64: "*i64", torch.int32: "*i32", torch.int8: "*i8"}

class Compiled:
    def __init__(self, kernel, programs, constants, **options):
        self.kernel, self.options = kernel, options
        self.constants = {name: constants[name] for name in kernel.arg_names if name in constants}

    def __call__(self, tensors, numbers):
        types = [TYPES[each.dtype] for each in tensors] + ["i32"] * len(numbers) + ["constexpr"] * len(self.constants)
        types = dict(zip(self.kernel.arg_names, types, strict=True))
        # Triton makes a number 1 a constant.
        ones = {name: 1 for name, value in zip(list(types)[len(tensors):], numbers) if value == 1 and name != "update"}
        source = ASTSource(self.kernel, types | dict.fromkeys(ones, "constexpr"), self.constants | ones)
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=self.options)
        found = re.findall(r"(?:div|fma|mad|rcp)[.][a-z0-9.]*f(?:32|64)", made.asm["ptx"])
        print(self.kernel.__name__, len(made.asm["cubin"]) > 0, *sorted(set(found)))

cuda_levels.Kernel, torch.cuda.current_device = Compiled, lambda: None
group, dtype, width = sys.argv[1:]
quantizer = {"tensor": Quantizer.bitnet(), "channel": Quantizer("uniform", -8, 7)}[group]
weight = torch.randn(6, int(width), dtype=getattr(torch, dtype))
groups = quantizer.groups(weight.shape)
sums = cuda_levels.CudaLevels(weight, quantizer, lambda: (torch.ones(groups), torch.zeros(groups)))
"""


@pytest.mark.extras
@pytest.mark.parametrize(
    ("group", "dtype", "width"),
    [
        ("tensor", "float32", 40),
        ("channel", "float32", 5000),
        ("tensor", "float64", 1),
        ("channel", "float64", 40),
        ("channel", "float32", 1),
    ],
)
def test_they_compile_for_a_gpu_with_the_divisions_of_the_network(group, dtype, width, tmp_path):
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILE, group, dtype, str(width)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert made.keys() == {"_advance"} | ({"all_moments", "_join"} if group == "tensor" else set())
    exact = {"float32": "div.rn.f32", "float64": "div.rn.f64"}[dtype]
    whole, *operations = made["_advance"]
    assert whole == "True"
    assert exact in operations
    assert set(operations) <= {exact, "div.rn.f64"}  # no quotient by approximation, no sum fused with a product
