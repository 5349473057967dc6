"""A bounded run of the fuzzers, blind and with a fixed seed; make fuzz is the long form."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SEED = int(os.environ.get("FUZZ_SEED", "5"))
RUNS = 70  # of each target
SLOW = ("trajectory-xtc", "trajectory-nc", "trajectory-psf", "kept-answers")  # by hand


def path_of_fuzzers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sources", "result_file"):
        monkeypatch.syspath_prepend(str(HERE.parent / name))


@pytest.mark.processes
def test_no_bytes_of_strangers_escape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path_of_fuzzers(monkeypatch)
    from slices import run_slice
    from targets import TARGETS

    names = [name for name in TARGETS if name not in SLOW]
    count = run_slice(",".join(names), RUNS, SEED, tmp_path)
    assert count.escaped == 0, {p.name: p.read_text()[-2000:] for p in tmp_path.glob("*.txt")}
    assert count.inputs == RUNS * len(names)
    assert 0.2 < count.refused / count.inputs < 0.95, "neither all noise nor all valid"


def test_the_docs_show_what_was_fuzzed(monkeypatch: pytest.MonkeyPatch) -> None:
    path_of_fuzzers(monkeypatch)
    import record

    assert record.table(record.read(record.PATH)) in (ROOT / "docs" / "security.md").read_text()


@pytest.mark.parametrize(
    ("code", "is_no_escape"), [(97, True), (-15, True), (-11, False), (1, False)]
)
def test_who_stops_the_fuzzer_is_no_escape(
    monkeypatch: pytest.MonkeyPatch, code: int, is_no_escape: bool
) -> None:
    path_of_fuzzers(monkeypatch)
    from slices import no_escape

    assert bool(no_escape(code)) == is_no_escape


LOOKS = {
    "raises": "raise ValueError('not ours')",
    "dies": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "hangs": "[0 for _ in iter(int, 1)]",
    "eats": "b'x' * (700 << 20)",
}


@pytest.mark.processes
@pytest.mark.parametrize("way", LOOKS)
def test_an_escape_is_kept_with_its_input(tmp_path: Path, way: str) -> None:
    """The fuzzer itself, on targets that break each promise."""
    from slices import PATHS

    code = f"""
import sys, child, target, targets
target.CPU_S = {0.3 if way == "hangs" else 10.0}
def look(data):
    if data != b"seed": {LOOKS[way]}
targets.TARGETS["evil"] = lambda folder: target.Target(
    look=look, seeds=[b"seed"], insane=lambda data, rng: b"mad")
child.main()
"""
    escapes, journal = tmp_path / "escapes", tmp_path / "journal"
    escapes.mkdir()
    words = ["evil", "--runs", "3", "--seed", "1", "--journal", journal, "--escapes", escapes]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        env={**os.environ, "PYTHONPATH": ":".join(map(str, PATHS)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    from journal import Journal

    found = Journal(journal)
    ended = way in ("dies", "hangs")
    assert (done.returncode < 0) == ended, done.stderr.decode()[-2000:]
    assert found.in_hand if ended else found.escaped
    assert ended or len([*escapes.glob("evil-*.txt")]) == 1
