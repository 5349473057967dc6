"""Aliases on every kind of shelf: moved by one of two, never by both, with their history."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from model_store.history import Entry
from model_store.shelf import Shelf
from model_store.store import Store
from xas.errors import AliasMoved, EdgestreamError, Reject, UnknownModel

OpenStore = Callable[[], Store]


@pytest.fixture
def store(open_store: OpenStore, tiny: list[Path]) -> Store:
    """A store with three versions, on each kind of shelf."""
    return filled(open_store(), tiny)


@pytest.fixture
def here(tmp_path: Path, tiny: list[Path]) -> Store:
    """The same in a folder, for what does not depend on the shelf."""
    return filled(Store([tmp_path / "here"], builtin=False), tiny)


def filled(store: Store, bundles: list[Path]) -> Store:
    for folder in bundles:
        store.put(folder, who="ann")
    return store


def test_what_was_put_is_found_by_number_by_alias_and_by_another_process(
    store: Store, open_store: OpenStore, tiny: list[Path]
) -> None:
    store.promote("tiny", 3, "challenger")
    other = open_store()
    assert other.names() == ["tiny"]
    assert other.versions("tiny") == [1, 2, 3]
    assert other.get("tiny@3").content("model.onnx") == (tiny[2] / "model.onnx").read_bytes()
    assert other.get("tiny@challenger").manifest.version == 3
    assert [m.version for m in other.list()] == [1, 2, 3]


def test_a_put_moves_no_alias(here: Store) -> None:
    assert here.aliases("tiny") == {"champion": 1}
    (held,) = here.history("tiny")
    assert (held.action, held.after, held.who) == ("put", 1, "ann")


def test_promotions_and_rollbacks_are_remembered_with_who_when_and_why(store: Store) -> None:
    store.promote("tiny", 2, who="ann", why="better")
    store.promote("tiny", 3, who="bob")
    assert store.rollback("tiny", who="cleo", why="noise").after == 2
    assert store.rollback("tiny").after == 1
    with pytest.raises(Reject, match="nothing before 1 to go back to"):
        store.rollback("tiny")
    moves = [(e.who, e.action, e.before, e.after, e.why) for e in store.history("tiny")]
    assert moves[:4] == [
        ("", "rollback", 2, 1, ""),
        ("cleo", "rollback", 3, 2, "noise"),
        ("bob", "promote", 2, 3, ""),
        ("ann", "promote", 1, 2, "better"),
    ]
    assert store.history("tiny")[0].when == "2027-01-15T08:00:00Z"


def test_promoting_what_is_champion_already_changes_nothing(here: Store) -> None:
    here.promote("tiny", 2)
    n = len(here.history("tiny"))
    here.promote("tiny", 2)
    assert len(here.history("tiny")) == n


def test_an_alias_can_be_retired_but_not_the_champion(here: Store) -> None:
    here.promote("tiny", 2, "shadow")
    here.retire("tiny", "shadow")
    with pytest.raises(UnknownModel, match=r"has no 'shadow'; it has 1, 2, 3, champion"):
        here.resolve("tiny", "shadow")
    with pytest.raises(Reject, match="workers need one"):
        here.retire("tiny", "champion")


def test_a_strange_name_of_an_alias_is_refused(here: Store) -> None:
    for alias in ("7", "", "../up", "a b"):
        with pytest.raises(Reject, match="no name of an alias"):
            here.promote("tiny", 2, alias)


def test_a_version_that_is_not_there_is_not_promoted(here: Store) -> None:
    with pytest.raises(UnknownModel, match=r"model 'tiny' has no '9'"):
        here.promote("tiny", 9)
    with pytest.raises(UnknownModel, match=r"no model 'tinny'; the nearest is 'tiny'"):
        here.promote("tinny", 1)


def test_of_two_operators_one_wins_and_the_other_is_told_who(
    store: Store, shelf: Callable[[], Shelf], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Store([shelf()], builtin=False)
    look = slow.of("tiny").history.append

    def meanwhile(decide: Callable[[Entry], Entry | None]) -> Entry:
        store.promote("tiny", 3, who="ann@beamline", why="better")
        return look(decide)

    monkeypatch.setattr(slow.of("tiny").history, "append", meanwhile)
    with pytest.raises(
        AliasMoved, match=r"tiny@champion stands for 3, not for 1: ann@beam"
    ) as told:
        slow.promote("tiny", 2, who="bob")
    assert "\n" not in str(told.value)
    assert store.aliases("tiny") == {"champion": 3}


def test_an_operator_may_say_what_the_alias_must_stand_for(here: Store) -> None:
    with pytest.raises(AliasMoved, match="stands for 1, not for 2"):
        here.promote("tiny", 3, expect=2)
    assert here.promote("tiny", 3, expect=1).after == 3


def test_moves_of_different_aliases_at_once_all_happen_and_of_one_alias_only_one(
    store: Store, open_store: OpenStore
) -> None:
    told: list[object] = []
    start = threading.Barrier(6)

    def operate(alias: str, version: int) -> None:
        mine = open_store()
        mine.resolve("tiny")
        start.wait()
        try:
            told.append(mine.promote("tiny", version, alias, expect=mine_expects[alias]).after)
        except EdgestreamError as error:
            told.append(type(error))

    mine_expects = {"champion": 1, "a": None, "b": None, "c": None}
    jobs = [("champion", 2), ("champion", 3), ("champion", 2), ("a", 1), ("b", 2), ("c", 3)]
    threads = [threading.Thread(target=operate, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = store.aliases("tiny")
    assert {alias: won[alias] for alias in "abc"} == {"a": 1, "b": 2, "c": 3}
    moves = [e for e in store.history("tiny") if e.alias == "champion" and e.action == "promote"]
    assert len(moves) == 1
    assert told.count(AliasMoved) in {1, 2}  # a second one to the same version changes nothing


def test_two_puts_at_once_get_two_versions(open_store: OpenStore, tiny: list[Path]) -> None:
    got: list[int] = []
    threads = [
        threading.Thread(target=lambda: got.append(open_store().put(tiny[0]))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = open_store()
    assert sorted(got) == store.versions("tiny")
    assert len(set(got)) == 4
    for version in got:
        assert store.get(f"tiny@{version}").manifest.version == version


def test_a_worker_that_asks_again_gets_the_same_answer_until_something_moves(
    store: Store, open_store: OpenStore
) -> None:
    worker = open_store()
    first = worker.resolve("tiny")
    assert worker.resolve("tiny") is first
    store.promote("tiny", 2)
    second = worker.resolve("tiny")
    assert (second.version, second.reference, second.stale) == (2, "tiny@2", "")
    assert second.token != first.token
    store.rollback("tiny")
    assert worker.resolve("tiny").version == 1


def test_asking_again_is_one_question(
    store: Store, shelf: Callable[[], Shelf], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    mine = shelf()
    ask = mine.entry
    monkeypatch.setattr(mine, "entry", lambda *what: asked.append(what) or ask(*what))
    worker = Store([mine], builtin=False)
    worker.resolve("tiny")
    for method in ("names", "versions", "last_entry", "manifest", "folder"):
        monkeypatch.setattr(mine, method, None)
    asked.clear()
    worker.resolve("tiny")
    assert asked == [("tiny", 2)]


def test_a_challengers_share_is_kept_with_its_alias(store: Store, open_store: OpenStore) -> None:
    store.promote("tiny", 2, "challenger", share=0.1)
    other = open_store()
    assert (other.resolve("tiny", "challenger").share, other.resolve("tiny").share) == (0.1, 0.0)
    store.promote("tiny", 3)
    store.promote("tiny", 2, "challenger", share=0.5)
    assert other.resolve("tiny", "challenger").share == 0.5
    store.promote("tiny", 1, "challenger")
    assert other.resolve("tiny", "challenger").share == 0.5
    store.retire("tiny", "challenger")
    store.promote("tiny", 2, "challenger")
    assert other.resolve("tiny", "challenger").share == 0.0


def test_only_a_challenger_takes_a_share(here: Store) -> None:
    for alias, share in (("champion", 0.1), ("challenger", 1.5), ("challenger", -0.1)):
        with pytest.raises(Reject, match="only a challenger takes one, 0 to 1"):
            here.promote("tiny", 2, alias, share=share)
    assert here.aliases("tiny") == {"champion": 1}
