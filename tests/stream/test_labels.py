"""What a label is, and what is none."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st
from iron_labels import ENERGY, iron_label, octahedron, spectrum

from stream.codec import encode
from stream.labels import label_of, read_label, structure_of_atoms
from xas.errors import BadLabels, BadMessage, NewerProtocol
from xas.structure import StructureBatch


def test_a_label_comes_out_as_it_went_in() -> None:
    label = iron_label(1.95, weight=2.5, group="mp-1", source="a lab")
    again = read_label(encode(label))
    assert again == label
    assert again.sha256 == label.sha256
    np.testing.assert_array_equal(again.spectrum()[1], spectrum(1.95))
    np.testing.assert_array_equal(again.structure().positions, octahedron(1.95).positions)


def test_the_identity_is_of_structure_spectrum_edge_and_theory() -> None:
    label = iron_label()
    same = iron_label(weight=3.0, source="elsewhere", name="another", group="a")
    assert same.sha256 == label.sha256
    others = [
        iron_label(2.1),
        iron_label(intensity=spectrum(2.1)),
        iron_label(energy=ENERGY + 0.1),
        iron_label(theory="FEFF10"),
    ]
    assert len({label.sha256, *(other.sha256 for other in others)}) == 5
    assert others[1].structure_sha256 == label.structure_sha256


def test_the_absorber_becomes_the_first_atom() -> None:
    atoms = Atoms("OFeO", positions=[(-1.6, 0, 0), (0, 0, 0), (1.6, 0, 0)])
    for absorber in (None, 1, "Fe"):
        label = label_of(structure_of_atoms(atoms), ENERGY, spectrum(), absorber=absorber)
        assert label.structure().numbers.tolist() == [26, 8, 8]
        assert label.structure().positions[:, 0].tolist() == pytest.approx([0, -1.6, 1.6])
        assert (label.element, label.edge) == ("Fe", "K")


def test_a_crystal_keeps_its_cell() -> None:
    label = label_of(structure_of_atoms(bulk("Fe")), ENERGY, spectrum())
    again = read_label(encode(label)).structure()
    assert again.cells is not None
    np.testing.assert_allclose(again.cells[0], bulk("Fe").cell[:])


def test_of_several_absorbers_one_must_be_named() -> None:
    two = Atoms("Fe2O", positions=[(0, 0, 0), (3.2, 0, 0), (1.6, 0, 0)])
    with pytest.raises(BadLabels, match="2 atoms are an element whose K edge"):
        label_of(structure_of_atoms(two), ENERGY, spectrum())
    assert label_of(structure_of_atoms(two), ENERGY, spectrum(), absorber=1).element == "Fe"


def moved(atom: int, to: Any) -> StructureBatch:
    positions = octahedron().positions.copy()
    positions[atom] = to
    return StructureBatch.from_arrays(octahedron().numbers, positions)


LONG = np.linspace(6900.0, 7700.0, 400)
HOSTILE: list[tuple[dict[str, Any], str]] = [
    ({"energy": ENERGY / 1000, "absorber": 0}, "in keV; give eV"),
    ({"energy": ENERGY - 7112.0, "absorber": 0}, "relative to an edge; add its energy"),
    ({"energy": ENERGY + 597.0, "absorber": 0}, r"not those of the Fe K edge .*but of Co K"),
    ({"edge": "L3", "absorber": 0}, r"not those of the Fe L3 edge"),
    ({"edge": "Q7", "absorber": 0}, "has no edge 'Q7'"),
    ({"energy": LONG, "intensity": 0.05 + (LONG > 7580)}, "does not rise at the Fe K edge"),
    ({"energy": ENERGY[::-1]}, "do not rise"),
    ({"energy": ENERGY[:4], "intensity": spectrum()[:4], "absorber": 0}, "4 energies; at least 8"),
    ({"energy": np.where(ENERGY > 7150, np.nan, ENERGY), "absorber": 0}, "not all finite"),
    ({"energy": ENERGY[:, None], "absorber": 0}, "has shape"),
    ({"energy": "abc", "absorber": 0}, "not an array of numbers"),
    ({"intensity": np.where(ENERGY > 7150, np.nan, 1.0)}, "spectrum is not finite"),
    ({"intensity": -spectrum()}, "not positive"),
    ({"intensity": np.ones(61)}, "is constant"),
    ({"intensity": spectrum() * 1e300}, "reaches beyond"),
    ({"intensity": spectrum()[:-1]}, "shape"),
    ({"absorber": 7}, "has no atom 7"),
    ({"absorber": -1}, "has no atom -1"),
    ({"absorber": 1}, "not those of the O K edge"),
    ({"absorber": "Xx"}, "no element has the symbol"),
    ({"structure": moved(3, (0, 0, 0.1))}, "another atom lies 0.10 angstrom"),
    ({"structure": moved(3, (0, np.inf, 0))}, "atom 3 is not finite"),
    ({"structure": octahedron(20.0)}, "no atom within 6 angstrom of the absorber"),
    ({"structure": StructureBatch.from_arrays([], []), "absorber": 0}, "has no atom 0"),
    ({"weight": 0.0}, "weight 0 is not a number above 0"),
    ({"weight": float("nan")}, "weight nan"),
    ({"name": "a" * 501}, "its name is not one line"),
    ({"theory": "FEFF\x1b[2J"}, "its theory is not one line"),
]


@pytest.mark.parametrize(("about", "reason"), HOSTILE)
def test_what_cannot_be_is_no_label(about: dict[str, Any], reason: str) -> None:
    with pytest.raises((BadLabels, BadMessage), match=reason):
        iron_label(**about)


def test_what_is_received_is_checked_like_what_is_made() -> None:
    label = msgspec.structs.replace(iron_label(), element="Co")
    with pytest.raises(BadLabels, match="its first atom, the absorber, is Fe, not Co"):
        read_label(encode(label))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_label_are_refused(payload: bytes) -> None:
    with pytest.raises((BadMessage, BadLabels)):
        read_label(payload)


@given(st.integers(min_value=0), st.binary(min_size=1, max_size=8))
def test_a_damaged_label_is_refused_or_is_another(at: int, other: bytes) -> None:
    payload = bytearray(encode(iron_label()))
    at %= len(payload) - len(other)
    payload[at : at + len(other)] = other
    try:
        label = read_label(bytes(payload))
    except (BadMessage, BadLabels):
        return
    assert read_label(encode(label)).sha256 == label.sha256


def test_a_later_protocol_is_named() -> None:
    payload = encode(iron_label()).replace(b"edgestream\x02", b"edgestream\x63")
    with pytest.raises(NewerProtocol):
        read_label(payload)
