"""Labels from folders of FDMNES: structures of the input files, spectra of what they name.

Input (FDMNES User's Guide, "Main input file"): keywords in any case, ! begins a comment; Filout,
Edge, Absorber, Z_absorber, Atom, and Crystal or Molecule with a, b, c, three angles and lines of
Z x y z in units of a, b, c. fdmfile.txt lists the inputs of a folder. Output: NAME_conv.txt, or
NAME.txt without convolution: energies, eV, relative to the edge unless Energpho was asked for; the
first line of NAME.txt begins with the energy of the edge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.labels import Label, label_of
from stream.sources.cells import cell_of, in_cells
from stream.sources.label_options import LabelOptions, NoLabel
from stream.sources.number_table import number, numbers_in, read_text
from xas.edges import edge_energy_ev, element_symbol
from xas.errors import BadLabels, BadStructure, Reject
from xas.structure import StructureBatch

LIST = "fdmfile.txt"
CRYSTALS, MOLECULES = ("crystal", "cristal"), ("molecule",)
ELSEWHERE = ("cif_file", "pdb_file", "film", "surface", "spgroup")
ABSORBERS = ("absorber", "absorbeur")
NAMED = ("filout", "edge", "seuil", "threshold", "conv_out", "comment", "title")  # by a word

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Input:
    """An input file: what follows each keyword, lines of words, keywords in lower case."""

    path: Path
    blocks: dict[str, list[list[str]]]

    def first(self, *keywords: str) -> list[str]:
        """The first line below one of these keywords."""
        return next((self.blocks[k][0] for k in keywords if self.blocks.get(k)), [])


def is_fdmnes(folder: Path) -> bool:
    """Whether a folder is one of FDMNES."""
    return (folder / LIST).exists() or bool(_found(folder))


def read_fdmnes(folder: Path, options: LabelOptions) -> Iterator[Label | NoLabel]:
    """The label of each calculation in a folder, or why it gives none; BadLabels for no input."""
    inputs = _listed(folder) if (folder / LIST).exists() else _found(folder)
    if not inputs:
        raise BadLabels(f"{folder}: no input of FDMNES: {LIST}, or a file with Filout")
    for path in inputs:
        try:
            yield _label(folder, _Input(path, _blocks(read_text(path))), options)
        except BadLabels as error:
            yield NoLabel(name=path.name, reason=str(error))


def _listed(folder: Path) -> list[Path]:
    lines = [line.split("!")[0].strip() for line in read_text(folder / LIST).splitlines()]
    names = [line.replace("\\", "/") for line in lines if line][1:]  # behind their number
    return [folder / name for name in names]


def _found(folder: Path) -> list[Path]:
    texts = sorted(folder.glob("*.txt")) + sorted(folder.glob("*.inp"))
    return [path for path in texts if _is_input(path)]


def _is_input(path: Path) -> bool:
    with path.open("rb") as file:
        return re.search(rb"^\s*filout\b", file.read(2**16).lower(), re.MULTILINE) is not None


def _blocks(text: str) -> dict[str, list[list[str]]]:
    blocks: dict[str, list[list[str]]] = {}
    lines: list[list[str]] = []
    is_named = False
    for line in text.splitlines():
        words = line.split("!")[0].split()
        if not words:
            continue
        keyword = words[0].lower()
        if is_named or not re.fullmatch(r"[a-z]\w*", keyword):
            lines.append(words)
            is_named = False
        elif keyword == "end":
            break
        else:
            lines = blocks.setdefault(keyword, [])
            is_named = keyword in NAMED
    return blocks


def _label(folder: Path, given: _Input, options: LabelOptions) -> Label:
    structure, species = _structure(given)
    absorber = (
        _absorber(given, structure, species) if options.absorber is None else options.absorber
    )
    if not 0 <= absorber < structure.n_atoms:
        raise BadLabels(f"{given.path.name}: has no atom {absorber}")
    edge = options.edge or (given.first("edge", "seuil", "threshold") or ["K"])[0].upper()
    output, is_convolved = _output(folder, given)
    energy, mu = _columns(output)
    symbol = element_symbol(int(structure.numbers[absorber]))
    if energy[-1] < 0.5 * _tabulated(symbol, edge):  # else Energpho was asked for
        energy = energy + (_edge_ev(folder, given) or _tabulated(symbol, edge))
    return label_of(
        structure,
        energy + options.energy_offset_ev,
        mu,
        absorber=absorber,
        edge=edge,
        theory=options.theory or ("FDMNES" if is_convolved else "FDMNES, not convolved"),
        source=options.source or folder.resolve().name,
        name=given.path.stem,
        weight=options.weight or 1.0,
    )


def _structure(given: _Input) -> tuple[StructureBatch, int]:
    """The structure, and the atomic number that absorbs where nothing else is said."""
    for keyword in ELSEWHERE:
        if keyword in given.blocks:
            raise BadLabels(f"{given.path.name}: {keyword}: give all atoms, by Crystal or Molecule")
    lines = next((given.blocks[k] for k in (*CRYSTALS, *MOLECULES) if k in given.blocks), [])
    try:
        lengths, degrees = (list(map(number, part)) for part in (lines[0][:3], lines[0][3:6]))
        cell = cell_of(lengths, degrees or [90.0, 90.0, 90.0])
        kinds = [int(words[0]) for words in lines[1:]]
        places = np.array([[number(x) for x in words[1:4]] for words in lines[1:]])
        if cell is None:
            raise ValueError("a, b, c and the angles are no cell")
        numbers = _atomic_numbers(given, kinds)
        periodic = any(k in given.blocks for k in CRYSTALS)
        batch = StructureBatch.from_arrays(
            numbers,
            in_cells(places.reshape(-1, 3), [cell], [len(kinds)]),
            cells=cell[None] if periodic else None,
            pbc=np.ones((1, 3), dtype=np.bool_) if periodic else None,
        )
    except (IndexError, ValueError, BadStructure) as error:
        raise BadLabels(
            f"{given.path.name}: no Crystal or Molecule that can be read: {error}"
        ) from None
    return batch, numbers[0]


def _atomic_numbers(given: _Input, kinds: list[int]) -> list[int]:
    """Below Atom stands one line a kind of atom, beginning with Z, and structures name kinds."""
    listed = [int(words[0]) for words in given.blocks.get("atom", [])]
    return [listed[kind - 1] for kind in kinds] if listed else kinds


def _absorber(given: _Input, structure: StructureBatch, species: int) -> int:
    """The one atom that the spectrum is of, from 0."""
    name = given.path.name
    if line := given.first(*ABSORBERS):
        if len(line) == 1 and line[0].isdigit() and int(line[0]) > 0:
            return int(line[0]) - 1
        raise BadLabels(f"{name}: Absorber {' '.join(line)}: a label has one absorber")
    if line := given.first("z_absorber"):
        species = int(line[0]) if line[0].isdigit() else 0
    found = np.flatnonzero(structure.numbers == species)
    if len(found) != 1:
        raise BadLabels(
            f"{name}: its spectrum is that of {len(found)} atoms; with --absorber INDEX it is "
            "taken as that of one"
        )
    return int(found[0])


def _output(folder: Path, given: _Input) -> tuple[Path, bool]:
    """The file of the spectrum, and whether it is convolved."""
    base = _base(given)
    conv_out = "/".join(given.first("conv_out")).replace("\\", "/")
    for name, is_convolved in (
        (conv_out, True),
        (f"{base}_conv.txt", True),
        (f"{base}.txt", False),
    ):
        for place in _places(folder, given):
            for path in (place / name, place / Path(name).name):
                if name and path.is_file() and path != given.path:
                    return path, is_convolved
    raise BadLabels(f"{given.path.name}: no {base}_conv.txt and no {base}.txt: has it run?")


def _base(given: _Input) -> str:
    base = " ".join(given.first("filout")).replace("\\", "/").removesuffix(".txt")
    if not base:
        raise BadLabels(f"{given.path.name}: has no Filout")
    return base


def _places(folder: Path, given: _Input) -> tuple[Path, ...]:
    return folder, given.path.parent, given.path.parent.parent / "out"


def _columns(output: Path) -> tuple[Floats, Floats]:
    table = numbers_in(_behind_names(read_text(output)), output, n_columns=2)
    return table[:, 0], table[:, 1]


def _behind_names(text: str) -> str:
    """What is below the line that names the columns, which begins with Energy."""
    found = re.search(r"^\s*energy\b.*$", text, re.IGNORECASE | re.MULTILINE)
    return text[found.end() :] if found else text


def _edge_ev(folder: Path, given: _Input) -> float | None:
    """The energy of the edge, eV, as the program's output says it."""
    base = _base(given)
    for place in _places(folder, given):
        for path in (place / f"{base}.txt", place / f"{Path(base).name}.txt"):
            if path.is_file() and path != given.path:
                head = read_text(path).split("\n", 1)[0]
                if "E_edge" in head:
                    return number(head.split()[0])
    return None


def _tabulated(symbol: str, edge: str) -> float:
    try:
        return edge_energy_ev(symbol, edge)
    except Reject as error:
        raise BadLabels(str(error)) from None
