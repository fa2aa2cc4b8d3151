"""The ReCU method: binary layers, their settings, and networks."""

from recu_analysis.nn.binarizer import BINARIZERS, Binarizer
from recu_analysis.nn.layers import BinaryConv2d, BinaryLinear, binary_parameters, set_progress, set_tau
from recu_analysis.nn.networks import build_network

__all__ = [
    "BINARIZERS",
    "Binarizer",
    "BinaryConv2d",
    "BinaryLinear",
    "binary_parameters",
    "build_network",
    "set_progress",
    "set_tau",
]
