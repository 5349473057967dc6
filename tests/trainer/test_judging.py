"""Two real models, a file of labels, a report, and a move of the champion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_labels import made_labels

from model_store.store import Store
from trainer.gate_page import JSON, PAGE
from trainer.judging import Judged, judge_bundles
from trainer.train import train
from trainer.verdict import Rules
from xas.errors import AliasMoved, Reject

pytestmark = pytest.mark.train
EASY = Rules(coverage_points=50.0, draws=200)  # the error bars of a toy are not what is tested


def half(odd: bool, n: int = 160) -> dict[str, Any]:
    """Made labels whose formula has an odd, or an even, number of hydrogen atoms."""
    made = made_labels(n, n_formulas=n // 2, seed=3)
    chosen = [i for i in range(n) if (i % 2 == 1) is odd]
    parts = [slice(made["offsets"][i], made["offsets"][i + 1]) for i in chosen]
    return made | {
        "numbers": np.concatenate([made["numbers"][p] for p in parts]),
        "positions": np.concatenate([made["positions"][p] for p in parts]),
        "offsets": np.cumsum([0, *(p.stop - p.start for p in parts)]),
        "mu": made["mu"][chosen],
        "name": made["name"][chosen],
        "charge": np.array(chosen) % 4 // 2,
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with made@1, hardly trained, and made@2; even.npz taught both, odd.npz neither."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("gate")
    np.savez(folder / "even.npz", **half(odd=False))
    np.savez(folder / "odd.npz", **half(odd=True))
    store = Store([folder / "models"], builtin=False)
    for epochs in (1, 40):
        train("made", folder / "even.npz", store, quick=True, epochs=epochs, threads=1)
    return folder


def judged(place: Path, report: Path, **options: Any) -> Judged:
    store = Store([place / "models"], builtin=False)
    pair = store.get("made@1"), store.get("made@2")
    given = {"trained_on": [place / "even.npz"], "rules": EASY, "newest": 20} | options
    return judge_bundles(*pair, place / "odd.npz", report=report, **given)


def test_the_better_model_passes_and_leaves_a_page_that_needs_nothing_else(
    place: Path, tmp_path: Path
) -> None:
    found = judged(place, tmp_path / "report")
    assert found.judgement.verdict.promote, found.judgement.verdict.reasons
    assert found.judgement.held_out == 80
    assert json.loads((tmp_path / "report" / JSON).read_text())["verdict"]["promote"] is True
    page = (tmp_path / "report" / PAGE).read_text()
    assert page.count("data:image/svg+xml;base64,") == 5
    for word in ("<script", "http:", "https:", "<link", "@import"):
        assert word not in page
    for word in ("made@1", "made@2", "charge +1", "6 neighbours", "the newest labels"):
        assert word in page


def test_a_promotion_names_its_report_and_holds_only_against_the_champion_that_was_judged(
    place: Path, tmp_path: Path
) -> None:
    store = Store([place / "models"], builtin=False)
    found = judged(place, tmp_path / "report")
    store.promote("made", 2, who="somebody else", why="faster")
    with pytest.raises(AliasMoved, match="somebody else moved it"):
        found.promote(store, "gate")
    store.rollback("made")
    assert found.promote(store, "gate") == "made@champion: 1 -> 2"
    assert found.sha256 in store.history("made")[0].why
    store.rollback("made")


def test_the_worse_model_is_refused_and_nothing_moves(place: Path, tmp_path: Path) -> None:
    store = Store([place / "models"], builtin=False)
    found = judge_bundles(
        store.get("made@2"),
        store.get("made@1"),
        place / "odd.npz",
        [place / "even.npz"],
        tmp_path,
        rules=EASY,
    )
    assert not found.judgement.verdict.promote
    assert found.judgement.verdict.reasons[0].startswith("worse on all held-out labels")
    assert found.promote(store, "gate") == ""


def test_labels_that_a_model_may_know_do_not_judge_it(place: Path, tmp_path: Path) -> None:
    with pytest.raises(Reject, match=r"trained on even.npz \(sha256 .*\): give that file with"):
        judged(place, tmp_path, trained_on=[])
    store = Store([place / "models"], builtin=False)
    pair = store.get("made@1"), store.get("made@2")
    with pytest.raises(Reject, match=r"every formula in it is in even.npz"):
        judge_bundles(*pair, place / "even.npz", [], tmp_path)


def test_the_command_judges_reports_and_refuses(place: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from edgestream.cli import app

    given = ["--trained-on", place / "even.npz", "--labels", place / "odd.npz"]
    where = ["--models", place / "models", "--report", tmp_path / "r", "--promote"]
    words = ["models", "judge", "made@1", "--against", "made@2", *given, *where]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 1
    assert "made@1 against made@2: refuse" in done.stdout
    assert (tmp_path / "r" / PAGE).is_file()
