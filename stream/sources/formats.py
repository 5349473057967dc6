"""Which reader a file needs, by its name and its first bytes."""

from __future__ import annotations

import zlib
from enum import Enum, auto
from lzma import LZMAError
from pathlib import Path

from stream.sources.bytes_in import inner_name, open_unpacked
from xas.errors import BadTrajectory


class Kind(Enum):
    """The readers."""

    XYZ = auto()
    LAMMPS = auto()
    XDATCAR = auto()
    GRO = auto()
    PDB = auto()
    CHEMFILES = auto()
    ASE_TRAJECTORY = auto()
    ASE = auto()


_SUFFIXES = {
    ".xyz": Kind.XYZ,
    ".extxyz": Kind.XYZ,
    ".exyz": Kind.XYZ,
    ".lammpstrj": Kind.LAMMPS,
    ".lammpsdump": Kind.LAMMPS,
    ".xdatcar": Kind.XDATCAR,
    ".traj": Kind.ASE_TRAJECTORY,
    ".dcd": Kind.CHEMFILES,
    ".xtc": Kind.CHEMFILES,
    ".trr": Kind.CHEMFILES,
    ".nc": Kind.CHEMFILES,
    ".gro": Kind.GRO,
    ".pdb": Kind.PDB,
    ".psf": Kind.CHEMFILES,
}
NEEDS_TOPOLOGY = {".dcd", ".xtc", ".trr", ".nc"}


def kind_of(path: Path) -> Kind:
    """Return the reader for a file; BadTrajectory where it is absent, empty or unreadable."""
    head = _first_bytes(path)
    name = inner_name(path)
    if head.startswith(b"ITEM:"):
        return Kind.LAMMPS
    if "XDATCAR" in name.upper():
        return Kind.XDATCAR
    suffix = Path(name).suffix.lower()
    if suffix == ".tng":  # reading or writing one ends the process in chemfiles 0.10.4
        raise BadTrajectory(f"{path}: TNG is not supported; convert it to XTC (gmx trjconv)")
    return _SUFFIXES.get(suffix, Kind.ASE)


def _first_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise BadTrajectory(f"{path} is a folder; give a trajectory file")
    if path.exists() and not path.is_file():
        raise BadTrajectory(f"{path} is a pipe or device; give - and connect it to standard input")
    try:
        with open_unpacked(path) as file:
            head = file.read(64)
    except FileNotFoundError:
        raise BadTrajectory(f"no such file: {path}") from None
    except PermissionError:
        raise BadTrajectory(f"{path}: permission denied; make it readable") from None
    except (OSError, EOFError, LZMAError, zlib.error) as error:
        raise BadTrajectory(f"{path}: cannot be read ({error})") from None
    if not head:
        raise BadTrajectory(f"{path} is empty; give a file with at least one frame")
    return head
