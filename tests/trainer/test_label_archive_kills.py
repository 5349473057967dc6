"""Whoever archives labels may die at any moment: no label is lost, none is there twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dying_archivist import LABELS, SETTINGS
from iron_labels import iron_labels

from edgestream.embedded import EmbeddedServer
from stream.codec import encode
from stream.label_stream import push_patiently
from stream.memory_label_stream import MemoryLabelStream
from stream.record_file import records
from stream.redis_label_stream import RedisLabelStream
from trainer.archive_writer import REFUSED
from trainer.archivist import Archivist
from trainer.label_archive import LabelArchive

HERE = Path(__file__).parent
PATHS = (HERE, HERE.parent, HERE.parents[1])
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, PATHS))}
PROGRAM = (sys.executable, str(HERE / "dying_archivist.py"))

pytestmark = pytest.mark.processes


def assert_each_once(folder: Path, expected: list[str]) -> None:
    archive = LabelArchive(folder)
    hashes = [row.sha256 for row in archive.rows]
    assert len(hashes) == len(set(hashes))
    assert set(expected) <= set(hashes)
    assert archive.verify() == []
    assert [label.sha256 for label in archive.labels()] == hashes


def test_whoever_dies_before_any_system_call_loses_and_doubles_no_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # here and there: no power is cut
    done = subprocess.run([*PROGRAM, "steps", tmp_path], env=ENVIRONMENT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    logs = sorted(tmp_path.glob("*.told"), key=lambda log: int(log.stem))
    assert len(logs) > 30
    for log in logs[::4]:
        folder = log.with_suffix("")
        told = log.read_text().split("\n")[:-1]
        stream = MemoryLabelStream()  # the server still has what was not acknowledged, and more
        stream.push([encode(label) for label in LABELS] + [b"no label"])
        archivist = Archivist(stream, folder)
        archivist.step(block_s=0)
        archivist.close()
        assert_each_once(folder, [label.sha256 for label in LABELS])
        order = [row.sha256 for row in LabelArchive(folder).rows]
        assert order[: len(LABELS)] == [label.sha256 for label in LABELS]
        assert len(list(records(folder / REFUSED))) in (1, 2)  # this server had it at another time
        for line in told:
            if line.startswith("snapshot "):
                assert len(LabelArchive(folder).read(line.split()[1])) == 3


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


def killed_after(seconds: float, folder: Path, url: str) -> None:
    with (folder.parent / "log").open("ab") as log:
        process = subprocess.Popen(
            [*PROGRAM, "serve", folder, url], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=log
        )
    assert process.stdout is not None
    process.stdout.readline()  # it is at work, or was fenced
    time.sleep(seconds)
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_consumer_killed_at_random_moments_loses_and_doubles_no_label(
    tmp_path: Path, server: EmbeddedServer
) -> None:
    labels, random_ = iron_labels(240), random.Random(3)
    stream, folder = RedisLabelStream(server.url, SETTINGS), tmp_path / "archive"
    for part in range(3):
        push_patiently(stream, [encode(label) for label in labels[part * 80 : part * 80 + 80]])
        stream.push([encode(labels[0]), b"no label"])
        killed_after(0.3 * random_.random(), folder, server.url)
        while stream.state().archive_alive:
            time.sleep(0.05)
    archivist = Archivist(stream, folder)
    while stream.state().waiting:
        archivist.step(block_s=0)
    archivist.close()
    assert_each_once(folder, [label.sha256 for label in labels])
    assert len(LabelArchive(folder)) == len(labels)
    assert len(list(records(folder / REFUSED))) <= 3
    assert sum(stream.state().outcomes.values()) >= len(labels)
    stream.close()
