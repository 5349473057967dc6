"""Elements and edges."""

from __future__ import annotations

import subprocess
import sys

import pytest

from xas.edges import SYMBOLS, atomic_number, edge_energy_ev, element_symbol
from xas.errors import Reject


def test_symbols_and_numbers_are_each_other_s_inverse():
    assert len(SYMBOLS) == 119
    assert [atomic_number(element_symbol(z)) for z in range(1, 119)] == list(range(1, 119))
    assert (atomic_number("Fe"), atomic_number("fe "), atomic_number("CU")) == (26, 26, 29)


def test_the_symbols_are_those_of_ase():
    from ase.data import chemical_symbols

    assert list(SYMBOLS) == chemical_symbols


@pytest.mark.parametrize("symbol", ["", "X", "Xx", "Iron"])
def test_what_is_no_element_is_refused(symbol):
    with pytest.raises(Reject, match="no element"):
        atomic_number(symbol)


@pytest.mark.parametrize("number", [-1, 119])
def test_a_number_without_an_element_is_refused(number):
    with pytest.raises(Reject, match="no element"):
        element_symbol(number)


def test_edges_have_their_tabulated_energies():
    assert edge_energy_ev("Fe") == 7112.0
    assert edge_energy_ev("cu", "K") == pytest.approx(8979.0, abs=1.0)
    with pytest.raises(Reject, match="H has no edge 'L3'"):
        edge_energy_ev("H", "L3")


def test_importing_xas_pulls_in_no_heavy_package():
    code = (
        "import sys, xas.descriptor, xas.edges, xas.measures, xas.spectrum; "
        "sys.exit(any(m in sys.modules for m in ('scipy', 'xraydb', 'sqlalchemy', 'ase')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
