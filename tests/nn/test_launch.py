"""How Triton kernels are started: the long way first, then the short one, where it can be."""

import pytest
import torch

from recu_analysis.nn.launch import Kernel

TENSORS = torch.zeros(4), torch.zeros(4)
CONSTANTS = {"BLOCK": 16, "CENTER": True, "OTHER": 3}


class Recorded:
    """Stands for a Triton kernel: says how it was started, and with what."""

    arg_names = ("first", "second", "size", "CENTER", "BLOCK")

    def __init__(self, *, refuses=False, compiles=True):
        self.calls, self.refuses, self.compiles = [], refuses, compiles

    def __getitem__(self, grid):
        return lambda *arguments, **constants: self.long(grid, arguments, constants)

    def long(self, grid, arguments, constants):
        self.calls.append(("long", grid, arguments, constants))
        return self.Compiled(self) if self.compiles else None

    class Compiled:
        def __init__(self, kernel):
            self.kernel = kernel

        def __getitem__(self, grid):
            return lambda *arguments: self.short(grid, arguments)

        def short(self, grid, arguments):
            if self.kernel.refuses:
                raise TypeError("function takes exactly 12 arguments (14 given)")
            self.kernel.calls.append(("short", grid, arguments))


def ways(recorded):
    return [call[0] for call in recorded.calls]


def test_the_first_launch_is_long_and_the_next_are_short():
    recorded = Recorded()
    kernel = Kernel(recorded, 7, CONSTANTS, num_warps=8)
    for size in (1, 2, 3):
        kernel(TENSORS, (size,))
    assert ways(recorded) == ["long", "short", "short"]
    assert recorded.calls[0] == ("long", (7, 1, 1), (*TENSORS, 1), {"CENTER": True, "BLOCK": 16, "num_warps": 8})
    assert recorded.calls[2] == ("short", (7, 1, 1), (*TENSORS, 3, True, 16))


def test_pointers_that_are_no_multiples_of_16_bytes_go_the_long_way():
    recorded = Recorded()
    kernel = Kernel(recorded, 1, CONSTANTS)
    odd = torch.zeros(5)[1:]
    for second in (odd, TENSORS[1], odd, TENSORS[1]):
        kernel((TENSORS[0], second), (4,))
    assert ways(recorded) == ["long", "long", "long", "short"]


@pytest.mark.parametrize("options", [{"refuses": True}, {"compiles": False}])
def test_where_there_is_no_short_way_all_go_the_long_one(options):
    recorded = Recorded(**options)
    kernel = Kernel(recorded, 1, CONSTANTS)
    for _ in range(3):
        kernel(TENSORS, (4,))
    assert ways(recorded) == ["long", "long", "long"]
