"""The version of the package, for every module: the package itself imports all of them."""

from typing import Final

__version__: Final = "0.1.0"
