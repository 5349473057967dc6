from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainer.importers.grid import read_grid, require_near_edge, shortest_decimals
from xas.errors import BadModel


def test_a_grid_is_min_max_and_the_number_of_points() -> None:
    assert read_grid("7097:7172:226") == tuple(np.linspace(7097, 7172, 226).tolist())


def test_a_grid_can_be_the_first_column_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "grid.txt").write_text("# E mu\n7097.0 0.1\n7097.5 0.2\n7098.0 0.3\n")
    np.save(tmp_path / "grid.npy", np.array([7097.0, 7097.5, 7098.0]))
    for name in ("grid.txt", "grid.npy"):
        assert read_grid(str(tmp_path / name)) == (7097.0, 7097.5, 7098.0)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("7097:7172:one", "write MIN:MAX:N"),
        ("7097:7172:1", "write MIN:MAX:N"),
        ("7097:7172:1000000000000", "write MIN:MAX:N"),
        ("7172:7097:226", "do not rise"),
        ("nan:7172:226", "not finite"),
        ("nowhere.txt", "nor a file that can be read"),
    ],
)
def test_a_wrong_grid_is_refused_with_its_remedy(words: str, reason: str) -> None:
    with pytest.raises(BadModel, match=reason):
        read_grid(words)


@pytest.mark.parametrize("text", ["", "7097\n7096\n", "a b\n", "7097\n", "7097\nnan\n", "\x00\xff"])
def test_a_file_that_is_no_grid_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "grid").write_text(text)
    with pytest.raises(BadModel, match="energies"):
        read_grid(str(tmp_path / "grid"))


def test_a_pickled_array_is_not_a_grid(tmp_path: Path) -> None:
    np.save(tmp_path / "grid.npy", np.array([Path("x")], dtype=object))
    with pytest.raises(BadModel, match="not a file of energies"):
        read_grid(str(tmp_path / "grid.npy"))


def test_energies_rounded_to_float32_are_written_as_they_were() -> None:
    written = (7097.0, 7097.33, 7097.67)
    assert shortest_decimals(np.array(written, dtype=np.float32)) == written


def test_a_grid_in_another_unit_is_told_from_one_in_ev() -> None:
    require_near_edge((7097.0, 7172.0), "Fe", "K")
    require_near_edge((7212.0, 7512.0), "Fe", "K")
    for grid in ((7.097, 7.172), (-15.0, 60.0), (8970.0, 9050.0)):
        with pytest.raises(BadModel, match="absolute energies in eV"):
            require_near_edge(grid, "Fe", "K")
