"""The error for an integration whose library is not installed."""

from __future__ import annotations

from recu_analysis.errors import MissingExtraError


def missing(library: str, error: ImportError) -> ImportError:
    """The error to raise for a failed import: MissingExtraError if the library is missing, otherwise the same error.

    Parameters
    ----------
    library : str
        Name of the package, which is also the name of the extra.
    error : ImportError
        The error of the import.

    Returns
    -------
    ImportError
    """
    absent = isinstance(error, ModuleNotFoundError) and error.name in {library, f"{library}.pytorch"}
    if not absent:
        return error
    return MissingExtraError(f'{library} is not installed; install it with: pip install "recu-analysis[{library}]"')
