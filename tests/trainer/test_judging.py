"""Two real models, a file of labels, a report, and a move of the champion."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_labels import made_labels
from msgspec.structs import replace

from model_store.bundle import Bundle
from model_store.store import Store
from trainer.archive import read_labels
from trainer.gate_page import JSON, PAGE
from trainer.judging import Judged, judge_bundles
from trainer.kept_answers import KEPT, KeptAnswers, unpacked
from trainer.train import train
from trainer.verdict import Rules
from xas.errors import AliasMoved, Reject
from xas.measures import percentage_error

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


def pair_of(place: Path) -> tuple[Bundle, Bundle]:
    store = Store([place / "models"], builtin=False)
    return store.get("made@1"), store.get("made@2")


def judged(place: Path, report: Path, **options: Any) -> Judged:
    given = {"trained_on": [place / "even.npz"], "rules": EASY, "newest": 20} | options
    return judge_bundles(*pair_of(place), place / "odd.npz", report=report, **given)


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
    with pytest.raises(Reject, match=r"every formula in it is in even.npz.*--out-of-fold"):
        judge_bundles(*pair_of(place), place / "even.npz", [], tmp_path)


def test_what_a_start_has_learned_is_left_out_too(place: Path, tmp_path: Path) -> None:
    start, store = pair_of(place)[1], Store([tmp_path / "models"], builtin=False)
    moved = train("moved", place / "odd.npz", store, quick=True, start_from=start)
    with pytest.raises(Reject, match=r"trained on what it was started from \(sha256 .*\): give"):
        judge_bundles(moved, moved, place / "odd.npz", [], tmp_path)
    old = replace(
        moved.manifest, training=replace(moved.manifest.training, recipe={"start": "made@2"})
    )
    with pytest.raises(Reject, match=r"does not say what it, or what it was started from"):
        judge_bundles(Bundle(moved.folder, old), moved, place / "odd.npz", [], tmp_path)


def test_what_the_folds_said_judges_on_labels_that_were_learned_since(
    place: Path, tmp_path: Path
) -> None:
    known = place / "even.npz"
    found = judge_bundles(*pair_of(place), known, [], tmp_path, rules=EASY, out_of_fold=True)
    judgement = found.judgement
    assert judgement.held_out == 80
    assert judgement.how_held_out.startswith("out of fold: of labels learned since (80 by made@1")
    assert judgement.verdict.promote, judgement.verdict.reasons
    for bundle, party in zip(
        pair_of(place), (judgement.champion, judgement.candidate), strict=True
    ):
        said = bundle.manifest.quality[0].percent
        assert party.quality.median == pytest.approx(said.median, rel=0.02)
        assert abs(judgement.verdict.coverage[0].candidate - 68.27) < 15.0


def test_new_labels_are_predicted_and_old_ones_recalled_in_one_judgement(
    place: Path, tmp_path: Path
) -> None:
    both = tmp_path / "both.npz"
    np.savez(both, **made_labels(160, n_formulas=80, seed=3))
    known = {"trained_on": [place / "even.npz"], "rules": EASY}
    alone = judge_bundles(*pair_of(place), both, report=tmp_path / "a", **known)
    together = judge_bundles(
        *pair_of(place), both, report=tmp_path / "b", out_of_fold=True, **known
    )
    assert (alone.judgement.held_out, together.judgement.held_out) == (80, 160)


def test_a_training_that_kept_nothing_can_only_be_judged_on_what_is_new(
    place: Path, tmp_path: Path
) -> None:
    champion, candidate = pair_of(place)
    files = {name: sha for name, sha in champion.manifest.files.items() if name != KEPT}
    old = Bundle(champion.folder, replace(champion.manifest, files=files))
    with pytest.raises(Reject, match=r"made@1 left no answers of its folds .*: train it again"):
        judge_bundles(old, candidate, place / "even.npz", [], tmp_path, out_of_fold=True)


@pytest.mark.data
@pytest.mark.parametrize("name", ["fe-k", "fe-k-fast"])
def test_what_the_folds_of_a_built_in_model_said_has_the_errors_that_it_states(
    data_dir: Path, name: str
) -> None:
    bundle = Store([]).get(f"{name}@1")
    kept, labels = KeptAnswers.read(bundle), read_labels(data_dir / "fe_k_xanesnet.npz")
    assert kept is not None
    said, where = kept.on(labels, labels, bundle)
    assert (where == np.arange(len(labels))).all()
    row, target = bundle.manifest.quality[0], labels.intensity
    error = float(np.median(percentage_error(said.mean, target)))
    assert error == pytest.approx(row.percent.median, abs=0.002)
    for level, reach in said.reach.items():
        held = (np.abs(said.mean - target) <= reach * said.std).mean()
        assert held == pytest.approx(row.coverage[level], abs=0.003)


def test_kept_answers_are_small_and_near_to_what_was_said() -> None:
    rng = np.random.default_rng(4)
    shapes = np.cumsum(rng.normal(size=(20, 226)), axis=1)
    mean = 10.0 + rng.normal(size=(2000, 20)) @ shapes / 20.0
    kept = KeptAnswers(np.arange(2000), mean, 0.01 * mean, rng.random(2000))
    data = kept.encode()
    assert len(data) < 2000 * 200
    with np.load(io.BytesIO(data)) as arrays:
        assert np.abs(unpacked(arrays, "mean") - mean).max() < 1e-3 * np.abs(mean).mean()


def test_the_command_judges_reports_and_refuses(place: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from edgestream.cli import app

    given = ["--trained-on", place / "odd.npz", "--labels", place / "even.npz", "--out-of-fold"]
    where = ["--models", place / "models", "--report", tmp_path / "r", "--promote"]
    words = ["models", "judge", "made@1", "--against", "made@2", *given, *where]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 1
    assert "made@1 against made@2: refuse" in done.stdout
    assert "80 of 80: out of fold" in done.stdout
    assert (tmp_path / "r" / PAGE).is_file()
