"""``edgestream models``: what is there, how good, trained on what, and which of it is at work."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from bundles import make_bundle
from commands import call, complaint

from model_store.store import Store

pytestmark = pytest.mark.processes


def test_the_built_in_model_is_listed_and_shown() -> None:
    assert "fe-k@" in call("models", "list").stdout
    listed = [m["name"] for m in json.loads(call("models", "list", "--json").stdout)]
    assert listed == ["cu-k", "fe-k", "fe-k-fast"]
    manifest = json.loads(call("models", "show", "fe-k", "--json").stdout)
    shown = call("models", "show", "fe-k", env=os.environ | {"COLUMNS": "100"}).stdout
    assert max(map(len, shown.splitlines())) <= 100
    assert manifest["training"]["data"]["sha256"][:16] in shown
    for words in ("published network", "4.7", "3.1-7.2", "2.0-4.8", "0.83", "fold"):
        assert words in shown
    for quality in manifest["quality"]:
        assert f"{quality['percent']['median']:.1f}" in shown


def test_the_measures_are_printed_as_markdown() -> None:
    lines = call("models", "show", "fe-k", "--markdown").stdout.splitlines()
    table = [line for line in lines if line.startswith("| ")]
    assert len(table) >= 5
    assert len({line.count(" | ") for line in table}) == 1
    assert any("published network" in line for line in lines if line.startswith("- ["))


def test_the_readme_shows_the_programs_own_table() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert call("models", "show", "fe-k", "--markdown").stdout.strip() in readme


def test_an_unknown_model_is_told_the_nearest() -> None:
    assert complaint("models", "show", "fek") == "no model 'fek'; the nearest is 'fe-k'"


@pytest.fixture
def mine(tmp_path: Path) -> tuple[object, ...]:
    """Options that name a store with three versions of a small model."""
    store = Store([tmp_path / "store"])
    for seed in range(3):
        store.put(make_bundle(tmp_path / str(seed), seed=seed).folder)
    return "--models", tmp_path / "store"


def test_a_model_is_put_promoted_and_rolled_back_with_its_history(mine: tuple[object, ...]) -> None:
    assert call("models", "promote", "tiny@2", "--why", "better", "--who", "ann", *mine).stdout == (
        "tiny@champion: 1 -> 2\n"
    )
    call("models", "promote", "tiny@3", "--as", "challenger", *mine)
    assert call("models", "rollback", "tiny", *mine).stdout == "tiny@champion: 2 -> 1\n"
    moves = json.loads(call("models", "history", "tiny", "--json", *mine).stdout)
    assert [(m["action"], m["alias"], m["after"]) for m in moves] == [
        ("rollback", "champion", 1),
        ("promote", "challenger", 3),
        ("promote", "champion", 2),
        ("put", "champion", 1),
    ]
    assert moves[2]["who"] == "ann"
    assert re.search(r"ann +promote +champion +1 -> 2 +better", history(mine))
    assert re.search(r"tiny@3 +challenger +Fe K", call("models", "list", *mine).stdout)


def history(mine: tuple[object, ...]) -> str:
    return call("models", "history", "tiny", *mine).stdout


def test_a_put_says_who_stays_champion(tmp_path: Path, mine: tuple[object, ...]) -> None:
    said = call("models", "put", tmp_path / "0", *mine).stdout
    assert said == (
        "stored as tiny@4\n"
        "tiny@1 stays the champion; to change it: edgestream models promote tiny@4\n"
    )
    put = json.loads(call("models", "put", tmp_path / "0", "--json", *mine).stdout)
    assert put == {"name": "tiny", "version": 5, "champion": 1}


def test_two_models_are_shown_side_by_side(mine: tuple[object, ...]) -> None:
    shown = call("models", "diff", "tiny@1", "tiny@2", *mine).stdout
    for words in ("features: the same", "training.seed", "predictions on the check input of"):
        assert words in shown
    found = json.loads(call("models", "diff", "fe-k", "tiny@2", "--json", *mine).stdout)
    assert len(found["answers"]) == 2


def test_what_cannot_be_done_is_refused_in_one_line(mine: tuple[object, ...]) -> None:
    assert complaint("models", "promote", "tiny", *mine) == (
        "tiny: which version of it? e.g. tiny@2"
    )
    assert "there is nothing before 1 to go back to" in complaint(
        "models", "rollback", "tiny", *mine
    )
    assert "stands for 1, not for 3: " in complaint(
        "models", "promote", "tiny@2", "--expect", "3", *mine
    )


def test_verify_names_the_version_that_is_damaged(tmp_path: Path, mine: tuple[object, ...]) -> None:
    assert "good" in call("models", "verify", "tiny@2", *mine).stdout
    model = tmp_path / "store/tiny/2/model.onnx"
    model.chmod(0o644)
    model.write_bytes(model.read_bytes()[:-1])
    done = call("models", "verify", "tiny", *mine, code=2)
    assert "does not match its SHA-256" in done.stdout
    assert "1 of 4: tiny@2: " in done.stderr
    assert "does not match its SHA-256" in complaint("models", "promote", "tiny@2", *mine)


def test_gc_removes_only_with_delete(tmp_path: Path, mine: tuple[object, ...]) -> None:
    said = call("models", "gc", "--days", "0", *mine).stdout
    assert "tiny@2" in said
    assert "nothing was removed; --delete does it" in said
    assert (tmp_path / "store/tiny/2").exists()
    done = json.loads(call("models", "gc", "--days", "0", "--delete", "--json", *mine).stdout)
    assert {"name": "tiny", "versions": [2], "leftovers": []} in done["models"]
    assert not (tmp_path / "store/tiny/2").exists()


def test_a_challenger_gets_a_share_of_the_frames(mine: tuple[object, ...]) -> None:
    promote = ("models", "promote", "tiny@2", "--as", "challenger", *mine)
    assert json.loads(call(*promote, "--share", "10%", "--json").stdout)["shares"] == {
        "challenger": 0.1
    }
    for wrong in ("110%", "-1", "much"):
        assert "write a part of the frames, e.g. 10%" in complaint(*promote, "--share", wrong)
    assert "only a challenger" in complaint("models", "promote", "tiny@2", "--share", "0.1", *mine)
