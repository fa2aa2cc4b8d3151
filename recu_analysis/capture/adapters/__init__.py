"""Recognition of binary modules, and of their transform from latent to effective weights."""

# Known codebases are imported first, because adapters that are registered later take precedence.
from recu_analysis.capture.adapters import known_codebases as _known_codebases  # noqa: F401
from recu_analysis.capture.adapters import known_quantizers as _known_quantizers  # noqa: F401
from recu_analysis.capture.adapters.find import binary_layers, require_model
from recu_analysis.capture.adapters.layer import BinaryLayer
from recu_analysis.capture.adapters.registry import adapter

__all__ = ["BinaryLayer", "adapter", "binary_layers", "require_model"]
