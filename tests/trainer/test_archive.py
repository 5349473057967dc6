from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_labels import made_labels

from trainer.archive import formulas, grouped_folds, read_labels
from xas.errors import BadLabels


def written(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    arrays = made_labels(12, 6)
    change(arrays)
    np.savez(tmp_path / "labels.npz", **arrays)
    return tmp_path / "labels.npz"


def spoil(key: str, index: Any, value: float) -> Callable[[dict[str, Any]], object]:
    return lambda arrays: arrays[key].__setitem__(index, value)


def test_labels_are_read_as_they_were_written(labels_file: Path) -> None:
    labels, arrays = read_labels(labels_file), made_labels()
    assert len(labels) == 60
    assert labels.element == "Fe"
    np.testing.assert_array_equal(labels.intensity, arrays["mu"])
    np.testing.assert_array_equal(labels.batch.positions, arrays["positions"])
    assert labels.sites.atom.tolist() == [0] * 60
    assert (labels.grouped_by, labels.n_groups) == ("formula", 20)


def test_the_first_labels_can_be_taken_alone(labels_file: Path) -> None:
    assert len(read_labels(labels_file, limit=7)) == 7


def test_formulas_do_not_depend_on_the_order_of_atoms(labels_file: Path) -> None:
    batch = read_labels(labels_file, limit=3).batch
    assert formulas(batch).tolist() == ["Fe1O6", "Fe1H1O6", "Fe1H2O6"]


def test_materials_are_the_groups_where_the_file_names_them(tmp_path: Path) -> None:
    path = written(tmp_path, lambda a: a.update(material=np.array(["a", "b", "c"] * 4)))
    labels = read_labels(path)
    assert (labels.grouped_by, labels.n_groups) == ("material", 3)


@pytest.mark.parametrize("seed", range(5))
def test_grouped_folds_do_not_share_a_formula(labels_file: Path, seed: int) -> None:
    labels = read_labels(labels_file)
    fold = grouped_folds(labels.groups, 4, seed)
    for group in np.unique(labels.groups):
        assert len(np.unique(fold[labels.groups == group])) == 1
    assert np.bincount(fold).tolist() == [15, 15, 15, 15]


def test_more_folds_than_groups_are_refused() -> None:
    with pytest.raises(BadLabels, match="2 groups cannot make 3 folds"):
        grouped_folds(np.array(["a", "a", "b"]), 3, 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (spoil("mu", (4, 3), np.nan), r"label 4 \(made 4\) has a spectrum that is not finite"),
        (spoil("mu", 5, 0.0), r"label 5 \(made 5\) has a spectrum whose sum is not positive"),
        (spoil("positions", (0, 1), np.inf), r"label 0 .* has positions that are not finite"),
        (spoil("numbers", 7, 29), r"label 1 .* has another absorber"),
        (spoil("energy", 3, 7100.0), "not finite and rising"),
        (spoil("offsets", 2, 0), "offsets must rise"),
        (lambda a: a.update(mu=a["mu"][:-1]), "mu has shape"),
        (lambda a: a.update(mu=a["mu"].astype(int)), "mu has shape .* int"),
        (lambda a: a.pop("energy"), "lacks the arrays energy"),
        (lambda a: a.update(energy=a["energy"][:3]), "energy has shape"),
        (lambda a: a.update(name=np.arange(12)), "name or material is not one text"),
        (lambda a: a.update(mu=np.array([None])), "not an npz file of plain arrays"),
    ],
)
def test_bad_labels_are_refused_with_file_and_reason(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    path = written(tmp_path, change)
    with pytest.raises(BadLabels, match=reason) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(BadLabels, match=r"x\.npz: "):
        read_labels(tmp_path / "x.npz")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadLabels, match="No such file"):
        read_labels(tmp_path / "none.npz")


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "n", "element"),
    [
        ("fe_k_xanesnet.npz", 4079, "Fe"),
        ("fe_k_feff10.npz", 563, "Fe"),
        ("cu_k_omnixas.npz", 4831, "Cu"),
    ],
)
def test_the_real_data_can_be_read(data_dir: Path, file: str, n: int, element: str) -> None:
    labels = read_labels(data_dir / file)
    assert (len(labels), labels.element) == (n, element)
    assert labels.grouped_by == ("material" if element == "Cu" else "formula")
