"""Labels from files and folders, whatever their format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stream.labels import Label
from stream.sources.fdmnes import is_fdmnes, read_fdmnes
from stream.sources.feff import is_feff, read_feff
from stream.sources.label_options import LabelOptions, NoLabel
from stream.sources.measured_labels import read_athena, read_xdi_label
from stream.sources.npz_labels import read_npz
from xas.errors import BadLabels
from xas.npz import plain_arrays


def read_labels_of_file(path: Path, options: LabelOptions) -> Iterator[Label | NoLabel]:
    """The labels of a file or folder, and what could not become one; never raises BadLabels.

    npz; a folder of FEFF (feff.inp, xmu.dat) or FDMNES (input files and their output); an Athena
    project (.prj, through xraylarch); else a measured spectrum, XDI or columns.
    """
    try:
        yield from _labels(path, options)
    except BadLabels as error:
        yield NoLabel(name=str(path), reason=str(error))


def _labels(path: Path, options: LabelOptions) -> Iterator[Label | NoLabel]:
    if path.is_dir():
        yield from _of_folder(path, options)
    elif not path.exists():
        raise BadLabels(f"{path}: no such file or folder")
    elif path.suffix == ".npz":
        yield from read_npz(path, options)
    elif path.suffix == ".prj":
        yield read_athena(path, options)
    else:
        yield read_xdi_label(path, options)


def _of_folder(folder: Path, options: LabelOptions) -> Iterator[Label | NoLabel]:
    if is_feff(folder):
        yield read_feff(folder, options)
    elif is_fdmnes(folder):
        yield from read_fdmnes(folder, options)
    else:
        raise BadLabels(f"{folder}: no output of FEFF (xmu.dat) and no input of FDMNES (Filout)")


def label_count(path: Path) -> int:
    """How many labels a file or folder is likely to give, for a progress bar."""
    if path.suffix != ".npz":
        return 1
    try:
        with path.open("rb") as file:
            return max(0, len(plain_arrays(file, ("offsets",))["offsets"]) - 1)
    except (OSError, KeyError, ValueError, TypeError):
        return 1
