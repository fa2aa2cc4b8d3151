"""Which modules are binary, and what each does to its latent weights before their sign."""

# The codebases come first, so that what a user registers goes before them.
from recu_analysis.capture.adapters import known_codebases as _known_codebases  # noqa: F401
from recu_analysis.capture.adapters.find import binary_layers, require_model
from recu_analysis.capture.adapters.layer import BinaryLayer
from recu_analysis.capture.adapters.registry import adapter

__all__ = ["BinaryLayer", "adapter", "binary_layers", "require_model"]
