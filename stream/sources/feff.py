"""Labels from folders of FEFF: the cluster of feff.inp and the spectrum of xmu.dat.

feff.inp (FEFF 6 to 10): cards POTENTIALS (ipot Z ...), ATOMS (x y z ipot ..., angstrom), EDGE or
HOLE, RMULTIPLIER; the absorber is the atom of potential 0. xmu.dat: columns omega (eV), e, k, mu,
mu0, chi below lines that begin with #. Rehr et al., Phys. Chem. Chem. Phys. 12, 5503 (2010); the
programs' user guides, "Input files" and "Output files".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stream.labels import Label, label_of
from stream.sources.label_options import LabelOptions
from stream.sources.number_table import numbers_in, read_text
from xas.errors import BadLabels, BadStructure
from xas.structure import StructureBatch

INPUT, OUTPUT = "feff.inp", "xmu.dat"
HOLES = ("", "K", "L1", "L2", "L3", "M1", "M2", "M3", "M4", "M5")


def is_feff(folder: Path) -> bool:
    """Whether a folder is one of FEFF."""
    return (folder / OUTPUT).exists() or (folder / INPUT).exists()


def read_feff(folder: Path, options: LabelOptions) -> Label:
    """The label of a finished calculation; BadLabels says what is missing or wrong."""
    cards = _cards(read_text(folder / INPUT))
    structure, absorber = _cluster(cards)
    output = read_text(folder / OUTPUT)
    table = numbers_in(output, folder / OUTPUT, n_columns=4)
    return label_of(
        structure,
        table[:, 0] + options.energy_offset_ev,
        table[:, 3],
        absorber=absorber,
        edge=options.edge or _edge(cards),
        theory=options.theory or _version(output),
        source=options.source or str(folder.name),
        name=_title(cards) or folder.name,
        weight=options.weight or 1.0,
    )


def _cards(text: str) -> dict[str, list[list[str]]]:
    """First four letters of a card -> its words, then those of each line below it."""
    cards: dict[str, list[list[str]]] = {}
    lines: list[list[str]] = []
    for line in _lines(text):
        words = line.split()
        card = words[0].upper()[:4]
        if card == "END":
            break
        if re.match(r"[A-Za-z]", words[0]):
            lines = cards.setdefault(card, [])
            lines.append(words[1:])
        else:
            lines.append(words)
    return cards


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        bare = line.split("!")[0].strip()
        if bare and bare[0] not in "*#":
            yield bare


def _cluster(cards: dict[str, list[list[str]]]) -> tuple[StructureBatch, int]:
    if "ATOM" not in cards or "POTE" not in cards:
        raise BadLabels(f"{INPUT}: has no ATOMS and POTENTIALS: a cluster is needed")
    try:
        elements = {int(words[0]): int(words[1]) for words in cards["POTE"][1:]}
        atoms = [words[:4] for words in cards["ATOM"][1:]]
        positions = np.array([[float(x) for x in words[:3]] for words in atoms])
        potentials = [int(words[3]) for words in atoms]
        factor = float(cards["RMUL"][0][0]) if "RMUL" in cards else 1.0
        numbers = [elements[ipot] for ipot in potentials]
        if potentials.count(0) != 1:
            raise BadLabels(f"{INPUT}: {potentials.count(0)} atoms have potential 0, not one")
        return StructureBatch.from_arrays(numbers, positions * factor), potentials.index(0)
    except KeyError as error:
        raise BadLabels(f"{INPUT}: potential {error} is not among POTENTIALS") from None
    except (ValueError, IndexError, BadStructure) as error:
        raise BadLabels(f"{INPUT}: POTENTIALS or ATOMS cannot be read: {error}") from None


def _edge(cards: dict[str, list[list[str]]]) -> str:
    if cards.get("EDGE", [[]])[0]:
        return cards["EDGE"][0][0].upper()
    if cards.get("HOLE", [[]])[0]:
        number = cards["HOLE"][0][0]
        if number.isdigit() and 0 < int(number) < len(HOLES):
            return HOLES[int(number)]
        raise BadLabels(f"{INPUT}: HOLE {number} is no edge that is known here")
    return "K"


def _title(cards: dict[str, list[list[str]]]) -> str:
    return " ".join(cards.get("TITL", [[]])[0])[:100]


def _version(output: str) -> str:
    found = re.search(r"feff\s*(\d+)", output, re.IGNORECASE)
    return f"FEFF{found[1]}" if found else "FEFF"
