"""``edgestream dlq`` as its users meet it, without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import call, complaint

from stream.codec import encode
from stream.dead_letters import RunLetters, keep_strangers
from stream.messages import DeadLetter, FrameBlock
from xas.structure import StructureBatch

pytestmark = pytest.mark.processes


def letter(index: int, reason: str, run: str = "md", original: bytes | None = None) -> bytes:
    block = FrameBlock.of(
        StructureBatch.from_arrays([26, 8], np.array([[0, 0, 0], [0, 0, 2.0]]), [0, 2]),
        run=run or "x", first=max(index, 0), model="fe-k", t_pushed=1.0,
    )  # fmt: skip
    return encode(
        DeadLetter(
            run=run, first=index, n_frames=1, reason=reason, error="BadStructure", attempts=2,
            worker="w", model="", t_failed=1.0,
            original=memoryview(original or encode(block)),
        )
    )  # fmt: skip


@pytest.fixture
def out(tmp_path: Path) -> Path:
    RunLetters(tmp_path, "md").append([letter(3, "not finite"), letter(8, "no iron")])
    RunLetters(tmp_path, "other").append([letter(1, "no iron", "other", b"junk")])
    keep_strangers(tmp_path, 0, [letter(0, "not ours", "", b"?"), letter(0, "again", "", b"??")])
    return tmp_path


def listed(out: Path, *words: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        call("dlq", "list", "--out", out, "--json", *words).stdout
    )["letters"]
    return found


def test_dead_letters_are_found_by_run_index_and_reason(out: Path) -> None:
    assert [(f["run"], f["frame"]) for f in listed(out, "--reason", "NO IRON")] == [
        ("md", 8),
        ("other", 1),
    ]
    assert [f["frame"] for f in listed(out, "--run", "md", "--index", "4:")] == [8]
    assert "not finite" in call("dlq", "list", "--out", out).stdout


def test_a_dead_letter_shows_its_frame_and_saves_it(out: Path) -> None:
    saved = out / "frame.extxyz"
    shown = call("dlq", "show", "--run", "md", "--index", 3, "--out", out, "--save", saved).stdout
    assert "FeO" in shown
    assert saved.read_text().startswith("2\n")
    shown = call("dlq", "show", "--run", "other", "--index", 1, "--out", out, "--json").stdout
    assert json.loads(shown)["structure"]["begins"] == b"junk".hex()


def test_dropped_letters_are_listed_no_more(out: Path) -> None:
    call("dlq", "drop", "--run", "md", "--index", 3, "--out", out)
    call("dlq", "drop", "--run", "strangers@0", "--index", -1, "--out", out)
    left = [(f["run"], f["frame"]) for f in listed(out)]
    assert left == [("md", 8), ("other", 1), ("strangers@0", -2)]


def test_a_careless_dlq_is_refused_in_one_line(out: Path) -> None:
    assert "say which" in complaint("dlq", "drop", "--out", out)
    assert "no such dead letters" in complaint("dlq", "drop", "--run", "none", "--out", out)
    assert "no such folder" in complaint("dlq", "list", "--out", out / "none")
    assert "FIRST:END" in complaint("dlq", "list", "--index", "x", "--out", out)
    complaint("dlq", "requeue", "--all", "--out", out, "--redis-url", "redis://127.0.0.1:1", code=3)
