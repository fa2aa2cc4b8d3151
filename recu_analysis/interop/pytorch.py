"""Reading files of torch.save without running code in them."""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from typing import TYPE_CHECKING, Any, BinaryIO

import torch

from recu_analysis.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

#: Writers of archives that hold a program, by a member that only they write.
PROGRAMS = {"constants.pkl": "TorchScript", "archive_format": "torch.export"}


def read_file(path: Path, *, unsafe_load: bool = False) -> Any:
    """Read the content of a file of torch.save; no code in it runs without `unsafe_load`.

    Parameters
    ----------
    path : Path
    unsafe_load : bool
        Restore any Python object, which runs any code that the file contains.

    Raises
    ------
    CheckpointError
        If the file is missing or damaged (its checksums are verified), is another archive than those of torch.save, or
        has objects that only code can restore.
    """
    require_file(path)
    try:
        with path.open("rb") as file:
            return read_archive(path, file, unsafe_load=unsafe_load)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None


def read_archive(path: Path, file: BinaryIO, *, unsafe_load: bool = False) -> Any:
    """Read what torch.save wrote, as `read_file`, from an open file; `path` is for messages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about unusual content
        try:
            _check_archive(path, file)
            return torch.load(file, map_location="cpu", weights_only=not unsafe_load)
        except CheckpointError:
            raise
        except Exception as error:  # a damaged file can raise anything
            raise CheckpointError(_why_refused(path, error, unsafe_load=unsafe_load)) from None


def require_file(path: Path) -> None:
    """Raise CheckpointError unless a path leads to a regular file; a pipe would keep its reader waiting."""
    try:
        if path.is_dir():
            raise CheckpointError(f"{path} is a folder; name the file in it, such as checkpoint.pth.tar")
        if not path.exists():
            raise CheckpointError(f"{path} does not exist; check the path")
        if not path.is_file():
            raise CheckpointError(f"{path} is not a regular file, so it is not read")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None


def _check_archive(path: Path, file: BinaryIO) -> None:
    """Refuse a zip archive that torch.save did not write, or that has changed since: torch.load checks no checksum."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _refuse_other_archive(path, {member.filename.partition("/")[2] for member in members})
            # torch.save does not compress, and unpacking could fill the memory.
            if sum(member.file_size for member in members) > file.seek(0, os.SEEK_END):
                raise CheckpointError(f"{path} is compressed, which torch.save never does, so it is not read")
            checked = any(member.CRC for member in members)  # torch can be told to write no checksums, but zeros
            if checked and (damaged := archive.testzip()) is not None:
                raise CheckpointError(
                    f"{path} is damaged: the checksum of {damaged} in it is wrong; get the file again from its source"
                )
    file.seek(0)


def _refuse_other_archive(path: Path, names: set[str]) -> None:
    """Refuse archives that hold a program, or no data.pkl, by what they are."""
    writer = next((name for mark, name in PROGRAMS.items() if mark in names), None)
    if writer is not None:
        raise CheckpointError(
            f"{path} is an archive of {writer}, which holds a program, so it is not read; load it with its own library "
            "and save its state_dict() with torch.save"
        )
    if "data.pkl" not in names:
        raise CheckpointError(f"{path} is a zip archive of another kind than those of torch.save, so it is not read")


def _why_refused(path: Path, error: Exception, *, unsafe_load: bool) -> str:
    if unsafe_load:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"{path} cannot be read: {reason}"
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    if found is None:
        return f"{path} cannot be read as a file of torch.save: it is damaged, cut short, or another kind of file"
    return (
        f"{path} has an object ({found[1]}) that is neither a tensor nor a plain value, and restoring it runs any code "
        "in the file, so it is not read; if you trust the file, use --unsafe-load (unsafe_load=True)"
    )


def is_plain(value: Any) -> bool:
    """Whether a value is an ordinary tensor of real numbers with all its data; an expanded view has less data."""
    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided or value.device.type != "cpu":
        return False
    whole = value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    packed = (
        value.is_quantized or value.is_complex() or str(value.dtype) == "torch.float4_e2m1fn_x2"
    )  # from torch 2.8 on
    return whole and not packed


def exact(value: torch.Tensor) -> torch.Tensor:
    """A plain tensor in a type that torch can calculate with: numbers of 8 bits as float32, which holds all of them."""
    return value.float() if value.is_floating_point() and value.element_size() == 1 else value
