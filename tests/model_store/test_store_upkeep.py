"""verify, gc and diff, on every kind of shelf."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from model_store import manifest as manifests
from model_store.bundle import open_bundle
from model_store.comparison import compare
from model_store.garbage import collect, find_garbage
from model_store.manifest import MANIFEST, SpectrumOutput
from model_store.store import Store
from model_store.verification import verify
from xas.errors import UnknownModel

LATER = 4e9


@pytest.fixture
def store(open_store: Callable[[], Store], tiny: list[Path]) -> Store:
    """Five versions; 1 was champion, 3 is, and 4 is challenger."""
    return filled(open_store(), tiny)


@pytest.fixture
def open_here(tmp_path: Path) -> Callable[[], Store]:
    """Opens a store in a folder, for what does not depend on the shelf."""
    return lambda: Store([tmp_path / "here"], builtin=False, clock=lambda: LATER)


def filled(store: Store, bundles: list[Path]) -> Store:
    store.clock = lambda: LATER
    for i in range(5):
        store.put(bundles[i % 3])
    store.promote("tiny", 3)
    store.promote("tiny", 4, "challenger")
    return store


def test_a_good_store_is_verified_version_by_version_and_alias_by_alias(store: Store) -> None:
    found = {f.subject: f.fault for f in verify(store)}
    versions = {f"tiny@{v}" for v in range(1, 6)}
    assert found == dict.fromkeys(versions | {"tiny@champion", "tiny@challenger"}, "")


def test_gc_says_what_nothing_names_and_removes_it_only_when_told(store: Store) -> None:
    assert find_garbage(store, "tiny").versions == [2]
    assert find_garbage(store, "tiny", keep_moves=1).versions == [1, 2]
    assert find_garbage(store, "tiny", days=1e9).versions == []
    assert store.versions("tiny") == [1, 2, 3, 4, 5]
    assert collect(store, "tiny", who="ann").versions == [2]
    assert store.versions("tiny") == [1, 3, 4, 5]
    latest = store.history("tiny")[0]
    assert (latest.action, latest.who, latest.removed) == ("gc", "ann", (2,))
    assert all(not f.fault for f in verify(store))


def test_the_number_of_a_removed_version_is_never_used_again(
    open_here: Callable[[], Store], tiny: list[Path]
) -> None:
    store = filled(open_here(), tiny)
    store.promote("tiny", 1)
    store.retire("tiny", "challenger")
    assert store.put(tiny[0]) == 6
    assert collect(store, "tiny", keep_moves=1).versions == [2, 3, 4, 5]
    assert open_here().put(tiny[0]) == 7
    with pytest.raises(UnknownModel, match="has no '5'"):
        open_here().promote("tiny", 5)


def test_what_gc_is_about_to_remove_cannot_be_promoted(
    open_here: Callable[[], Store], tiny: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(open_here(), tiny)
    remove = store.home.remove

    def late(name: str, version: int) -> None:
        with pytest.raises(UnknownModel, match="has no '2'"):
            open_here().promote("tiny", 2)
        remove(name, version)

    monkeypatch.setattr(store.home, "remove", late)
    assert collect(store, "tiny").versions == [2]


def test_the_built_in_models_are_never_garbage(tmp_path: Path) -> None:
    store = Store([tmp_path], clock=lambda: LATER)
    assert find_garbage(store, "fe-k", days=0.0).versions == []


def test_versions_of_one_descriptor_differ_in_what_they_predict(tiny: list[Path]) -> None:
    a, b = open_bundle(tiny[0]), open_bundle(tiny[1])
    found = compare(a, b)
    assert (found.same_network, found.features, found.output) == (False, [], [])
    assert {d.key for d in found.manifest} == {"training.seed"}
    for answers in found.answers:
        assert answers.n_sites == 2
        assert 7097.0 <= answers.energy_ev <= 7172.0
        assert answers.distance_percent > 1.0
    assert len(found.answers) == 2


def test_a_model_compared_with_itself_is_the_same_everywhere(tiny: list[Path]) -> None:
    a = open_bundle(tiny[0])
    found = compare(a, a)
    assert found.same_network
    assert (found.manifest, found.features, found.output) == ([], [], [])
    (answers,) = found.answers
    assert (answers.distance_percent, answers.largest) == (0.0, 0.0)


def test_models_of_other_features_are_compared_on_the_same_structures(tiny: list[Path]) -> None:
    found = compare(Store([]).get("fe-k"), open_bundle(tiny[0]))
    keys = {d.key for d in found.features}
    assert "n_features" in keys
    assert {d.key for d in found.output} >= {"n_energies"}
    assert len(found.answers) == 2
    assert found.answers[1].novelty_a > 0.0
    assert all(row.a and not row.b for row in found.measures)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"edge": "L3"}, "one predicts Fe K, the other Fe L3"),
        ({"output": SpectrumOutput((1.0, 2.0), "1")}, "their energies do not overlap"),
    ],
)
def test_models_that_cannot_be_compared_say_why(
    tiny: list[Path], tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    manifest = msgspec.structs.replace(manifests.read(tiny[1]), **changes)
    for file in tiny[1].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / MANIFEST).write_bytes(manifests.encode(manifest))
    found = compare(open_bundle(tiny[0]), open_bundle(tmp_path))
    assert (found.incomparable, found.answers) == (reason, [])
