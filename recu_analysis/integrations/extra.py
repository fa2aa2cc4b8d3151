"""What is said where the library of an integration is not installed."""

from __future__ import annotations

from recu_analysis.errors import MissingExtraError


def missing(library: str, error: ImportError) -> ImportError:
    """The error to raise for an import that failed: one sentence if the library is not there, else what went wrong.

    Parameters
    ----------
    library : str
        The package, which is also the name of the extra.
    error : ImportError
    """
    absent = isinstance(error, ModuleNotFoundError) and error.name in {library, f"{library}.pytorch"}
    if not absent:
        return error
    return MissingExtraError(f'{library} is not installed; pip install "recu-analysis[{library}]" installs it')
