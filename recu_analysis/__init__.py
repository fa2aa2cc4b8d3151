"""See which latent weights of a binary neural network are dead, when they die, and what revives them."""

import lazy_loader

from recu_analysis.version import __version__ as __version__

# The names stand in __init__.pyi. Each is loaded on first use: the package itself imports neither torch nor matplotlib.
_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """Load a public name; AttributeError suggests names that may be meant."""
    from recu_analysis.errors import hint, needing_torch

    if name not in __all__:
        # Notebooks print the message alone; Python adds a suggestion, a second one here, unless obj is given.
        text = f"recu_analysis has no attribute {name!r}; {hint(name, __all__)}"
        raise AttributeError(text, name=name, obj=None)
    with needing_torch():
        return _load(name)
