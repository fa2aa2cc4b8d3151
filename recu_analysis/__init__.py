"""See which latent weights of a binary neural network are dead, when they die, and what revives them."""

import lazy_loader

__version__ = "0.1.0"

# The names stand in __init__.pyi. Each is loaded on first use: the package itself imports neither torch nor matplotlib.
_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """Load a public name."""
    from recu_analysis.errors import needing_torch

    with needing_torch():
        return _load(name)
