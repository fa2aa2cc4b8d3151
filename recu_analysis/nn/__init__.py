"""The ReCU method: binary layers, their settings, and networks; layers with ternary and quantized weights."""

from recu_analysis.nn.binarizer import BINARIZERS, Binarizer
from recu_analysis.nn.layers import BinaryConv2d, BinaryLinear, binary_parameters, set_progress, set_tau
from recu_analysis.nn.networks import build_network
from recu_analysis.nn.quantized import QuantizedConv2d, TernaryLinear

__all__ = [
    "BINARIZERS",
    "Binarizer",
    "BinaryConv2d",
    "BinaryLinear",
    "QuantizedConv2d",
    "TernaryLinear",
    "binary_parameters",
    "build_network",
    "set_progress",
    "set_tau",
]
