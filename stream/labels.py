"""What a label is: one structure, whose first atom absorbs, and its reference spectrum.

Made by ``label_of`` or read by ``read_label``, which both check it (``stream.label_checks``); its
identity is the hash of its content, so that sending or storing it twice is harmless.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from stream.codec import Array, decode
from stream.label_checks import require_plausible
from stream.messages import MAX_ATOMIC_NUMBER
from xas.edges import atomic_number, edge_energy_ev, element_symbol
from xas.errors import BadLabels, BadMessage, BadStructure, Reject
from xas.structure import StructureBatch

MAX_LABEL_BYTES = 2**24
MAX_TEXT = 500
TEXTS = ("element", "edge", "theory", "source", "name", "group")


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """One structure with the spectrum of its atom 0.

    numbers u1 (n_atoms,); positions f4 (n_atoms, 3) angstrom; cell f8 (3, 3), pbc b1 (3,) where it
    is periodic; energy f8 (n_energy,) eV, rising, absolute; intensity f8 (n_energy,), in the unit
    of the level of theory.

    element, edge  of the absorber: "Fe", "K"
    theory         level of theory, e.g. "FDMNES" or "measured"; spectra of two are never mixed
    source         where it comes from, in the producer's words
    weight         in a training, relative to others; above 0
    name           to name it in a message or table
    group          what must not be split between training and validation, e.g. a material; empty:
                   its formula
    """

    numbers: Array
    positions: Array
    energy: Array
    intensity: Array
    element: str
    edge: str
    cell: Array | None = None
    pbc: Array | None = None
    theory: str = ""
    source: str = ""
    name: str = ""
    group: str = ""
    weight: float = 1.0

    def structure(self) -> StructureBatch:
        """The structure, a batch of one, as views; BadMessage where arrays do not agree."""
        numbers = self.numbers.view("|u1", -1)
        if numbers.max(initial=0) > MAX_ATOMIC_NUMBER:
            raise BadMessage(f"{numbers.max()} is no atomic number")
        if (self.cell is None) != (self.pbc is None):
            raise BadMessage("a cell without its periodicity, or the other way round")
        return StructureBatch(
            numbers=numbers,
            positions=self.positions.view("<f4", len(numbers), 3),
            offsets=np.array([0, len(numbers)]),
            cells=None if self.cell is None else self.cell.view("<f8", 3, 3)[None],
            pbc=None if self.pbc is None else self.pbc.view("|b1", 3)[None],
        )

    def spectrum(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Energies, eV, and intensities, both (n_energy,), as views; BadMessage as above."""
        energy = self.energy.view("<f8", -1)
        return energy, self.intensity.view("<f8", len(energy))

    @property
    def sha256(self) -> str:
        """The label's identity: of structure, spectrum, edge and theory.

        Not of source, weight, name and group: who sends a label again with others sends the same.
        """
        told = (self.edge, self.theory, self.structure_sha256)
        return _digest("label 1", (self.energy, self.intensity), *told)

    @property
    def structure_sha256(self) -> str:
        """The same for labels of the same atom in the same structure, bit for bit."""
        return _digest("structure 1", (self.numbers, self.positions, self.cell, self.pbc))

    @property
    def title(self) -> str:
        """How a message names it."""
        return self.name or self.source or self.sha256[:12]


def label_of(
    structure: StructureBatch,
    energy: ArrayLike,
    intensity: ArrayLike,
    *,
    absorber: int | str | None = None,
    edge: str = "K",
    theory: str = "",
    source: str = "",
    name: str = "",
    group: str = "",
    weight: float = 1.0,
) -> Label:
    """A label of a batch of one structure, checked; BadLabels says what is wrong with it.

    energy (n_energy,) eV, absolute; intensity (n_energy,). absorber: an index, or the element of
    which the structure has one atom; None: the element whose edge the energies are of. It becomes
    atom 0, before all others in their order.
    """
    if len(structure) != 1:
        raise BadLabels(f"{len(structure)} structures; a label has one")
    grid, spectrum = _floats("energy", energy), _floats("intensity", intensity)
    atom = absorber if isinstance(absorber, int) else _find(structure, absorber, grid, edge)
    if not 0 <= atom < structure.n_atoms:
        raise BadLabels(f"its structure has no atom {atom}, which is to be the absorber")
    order = np.argsort(np.arange(structure.n_atoms) != atom, kind="stable")
    cell, pbc = _periodicity(structure)
    label = Label(
        numbers=Array.of(structure.numbers[order]),
        positions=Array.of(structure.positions[order] + np.float32(0.0)),  # no negative zero
        cell=cell,
        pbc=pbc,
        energy=Array.of(grid),
        intensity=Array.of(spectrum),
        element=element_symbol(int(structure.numbers[atom])),
        edge=edge,
        theory=_plain(theory),
        source=_plain(source),
        name=_plain(name),
        group=_plain(group),
        weight=float(weight),
    )
    return check_label(label)


def _periodicity(structure: StructureBatch) -> tuple[Array | None, Array | None]:
    """Cell and periodicity, where there is any: a cell alone changes nothing."""
    if structure.cells is None or structure.pbc is None or not structure.pbc.any():
        return None, None
    return Array.of(structure.cells[0] + 0.0), Array.of(structure.pbc[0])


def read_label(payload: bytes | memoryview) -> Label:
    """A label from its bytes, checked again: BadMessage, or BadLabels."""
    if len(payload) > MAX_LABEL_BYTES:
        raise BadLabels(f"the label has {len(payload)} bytes; at most {MAX_LABEL_BYTES}")
    return check_label(decode(payload, Label))


def check_label(label: Label) -> Label:
    """The label itself, or BadLabels with what is wrong; see ``stream.label_checks``."""
    for field in TEXTS:
        text = getattr(label, field)
        if len(text) > MAX_TEXT or not text.isprintable():
            raise BadLabels(f"its {field} is not one line of up to {MAX_TEXT} characters")
    structure, (energy, intensity) = label.structure(), label.spectrum()
    if not structure.n_atoms:
        raise BadLabels("its structure has no atoms")
    if structure.pbc is not None and not structure.pbc.any():
        raise BadLabels("its cell is periodic in no direction: send it without cell and pbc")
    if (found := element_symbol(int(structure.numbers[0]))) != label.element:
        raise BadLabels(f"its first atom, the absorber, is {found}, not {label.element}")
    if not (np.isfinite(label.weight) and label.weight > 0):
        raise BadLabels(f"its weight {label.weight:g} is not a number above 0")
    require_plausible(structure, label.edge, energy, intensity)
    return label


def _find(
    structure: StructureBatch, element: str | None, energy: NDArray[np.float64], edge: str
) -> int:
    """The only atom that can be meant."""
    try:
        numbers = {atomic_number(element)} if element else _elements_near(structure, energy, edge)
    except Reject as error:
        raise BadLabels(str(error)) from None
    found = [i for i, z in enumerate(structure.numbers.tolist()) if z in numbers]
    if len(found) != 1:
        what = element or f"an element whose {edge} edge lies within the energies"
        raise BadLabels(f"{len(found)} atoms are {what}: say which is the absorber, by its index")
    return found[0]


def _elements_near(structure: StructureBatch, energy: NDArray[np.float64], edge: str) -> set[int]:
    if not energy.size:
        return set()
    numbers = set()
    for number in np.unique(structure.numbers).tolist():
        try:
            at = edge_energy_ev(element_symbol(number), edge)
        except Reject:
            continue
        if energy.min() - 20.0 <= at <= energy.max():
            numbers.add(number)
    return numbers


def _floats(what: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        floats = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise BadLabels(f"its {what} is not an array of numbers") from None
    if floats.ndim != 1:
        raise BadLabels(f"its {what} has shape {floats.shape}, not (n_energy,)")
    return floats + 0.0  # no negative zero: equal labels have equal bytes


def _plain(text: str) -> str:
    return " ".join(str(text).split())


def _digest(kind: str, arrays: tuple[Array | None, ...], *texts: str) -> str:
    known = hashlib.sha256(f"edgestream {kind}\n".encode())
    for text in texts:
        known.update(f"{len(text.encode())} {text}\n".encode())
    for array in arrays:
        known.update(b"-\n" if array is None else f"{array.dtype} {array.shape}\n".encode())
        known.update(b"" if array is None else array.data)
    return known.hexdigest()


def structure_of_atoms(atoms: Any) -> StructureBatch:
    """One ``ase.Atoms``, or a batch of one structure, as a batch; BadLabels."""
    if isinstance(atoms, StructureBatch):
        return atoms
    try:
        return StructureBatch.from_atoms(atoms)
    except (BadStructure, AttributeError, TypeError, ValueError) as error:
        raise BadLabels(f"no structure: {error}") from None
