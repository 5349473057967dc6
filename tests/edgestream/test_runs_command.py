"""``edgestream runs`` as its users meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import DEMO, call, complaint, frames_in, started, until


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("made") / "md.h5"
    call("run", DEMO, "-o", out, "--every", 4, "-q", "--workers", 1)
    return out.read_bytes()


@pytest.fixture
def run(made: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "md.h5"
    path.write_bytes(made)
    return path


def test_a_good_file_is_told_from_a_spoilt_one(run: Path) -> None:
    assert "no fault" in call("runs", "verify", run).stdout
    data = bytearray(run.read_bytes())
    data[len(data) // 2] ^= 4
    run.write_bytes(data)
    done = json.loads(call("runs", "verify", run, "--json", code=1).stdout)
    assert len(done["faults"]) == 1
    assert "checksum" in done["faults"][0]
    assert "no such file" in complaint("runs", "verify", run.with_name("none.h5"))


def test_several_files_are_verified_at_once_and_a_folder_is_named(run: Path) -> None:
    torn = run.with_name("torn.h5")
    torn.write_bytes(run.read_bytes()[:-1000])
    done = json.loads(call("runs", "verify", run, torn, "--json", code=1).stdout)
    assert [bool(one["faults"]) for one in done] == [False, True]
    assert "is a folder; give its files" in complaint("runs", "verify", run.parent)


def test_a_cut_file_is_repaired_into_another(run: Path) -> None:
    run.write_bytes(run.read_bytes()[:-1000])
    assert "truncated" in call("runs", "verify", run, code=1).stdout
    assert "100 of 100 frames saved" in call("runs", "repair", run).stdout
    call("runs", "verify", run.with_name("md.repaired.h5"))
    assert "exists" in complaint("runs", "repair", run)


def test_the_list_names_every_run_of_a_folder(run: Path) -> None:
    run.with_name("torn.h5").write_bytes(run.read_bytes()[:5000])
    (run.parent / "head.segments").mkdir()
    found = json.loads(call("runs", "list", run.parent, "--json").stdout)
    states = {one["name"]: one["state"] for one in found}
    assert states == {"md": "finished", "torn": "unreadable", "head": "headless"}
    assert "fe-k@1" in call("runs", "list", run.parent).stdout


def test_a_run_is_copied_and_verified_while_it_grows(tmp_path: Path) -> None:
    out = tmp_path / "md.h5"
    slowly = ("--set", "block_atoms=170", "--set", "high_water_bytes=3000")
    with started("run", DEMO, "-o", out, "--workers", 1, *slowly):
        until(lambda: frames_in(out) > 10)
        call("runs", "verify", out)
        call("runs", "copy", out, tmp_path / "copy.h5")
    call("runs", "verify", tmp_path / "copy.h5")
    assert frames_in(tmp_path / "copy.h5") > 10
    assert "exists" in complaint("runs", "copy", out, tmp_path / "copy.h5")
