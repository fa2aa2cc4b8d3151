"""Tensors of unusual types in checkpoints: read where float32 is exact, else left out by name."""

import pytest
import torch
from safetensors.torch import save_file

from recu_analysis.capture.adapters.state_dict_layers import saved_layers
from recu_analysis.errors import InputError, NoBinaryLayersError
from recu_analysis.interop.checkpoints import read_state
from tests.messages import says


def written(tmp_path, tensors, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save({"model": tensors}, path)
    return read_state(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"])
def test_every_finite_number_of_8_bits_is_read_exactly(tmp_path, dtype, suffix):
    bits = torch.arange(256, dtype=torch.int32).to(torch.uint8)
    small = bits[bits.view(getattr(torch, dtype)).double().isfinite()].view(getattr(torch, dtype))
    small = small[: len(small) // 2 * 2].reshape(2, -1)
    (layer,) = saved_layers(written(tmp_path, {"fc.weight": small}, suffix), ["fc"])
    assert layer.weight.dtype == "float32"
    assert torch.equal(torch.from_numpy(layer.weight).double(), small.double())


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_what_has_no_exact_number_is_left_out_by_name(tmp_path, suffix):
    tensors = {
        "a.weight": torch.ones(3, 4, dtype=torch.complex64),
        "b.weight": torch.ones(3, 4, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
        "c.weight": torch.randn(3, 4),
    }
    state = written(tmp_path, tensors, suffix)
    assert sorted(state.odd) == ["a.weight (complex64)", "b.weight (float4_e2m1fn_x2)"]
    with pytest.raises(InputError) as caught:
        saved_layers(state, ["b"])
    says(str(caught.value), state.path, "'b'", "left out", "b.weight (float4_e2m1fn_x2)")
    with pytest.raises(NoBinaryLayersError, match=r"left out.*a\.weight \(complex64\)"):
        saved_layers(state)
