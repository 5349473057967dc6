"""What the page shows of learning: jobs and how far they are, labels, and those asked for."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from page_pictures import picture
from page_stand import Viewer
from playwright.sync_api import Browser
from ports import free_port

from edgestream.embedded import EmbeddedServer
from stream.allowed_job import Running
from stream.jobs import CALCULATIONS, Jobs
from stream.redis_label_stream import RedisLabelStream
from trainer.archivist import Archivist
from trainer.label_request import LabelRequest, RequestFolder, request_of
from xas.structure import StructureBatch

pytestmark = [pytest.mark.browser, pytest.mark.processes]


@dataclass
class School:
    """A server, a folder of labels, and ``edgestream dashboard`` that looks at both."""

    url: str
    folder: Path
    address: str
    metrics: int

    def ask(self, frame: int, length: float) -> LabelRequest:
        structure = StructureBatch.from_arrays([26, 8], [[0, 0, 0], [0, 0, length]])
        why = {"novelty": length - 0.6, "uncertainty": 0.04 * length, "t_asked": time.time()}
        request = request_of(structure, 0, "K", f"frame {frame}", **why)
        RequestFolder(self.folder).add(request)
        return request


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    folder = tmp_path_factory.mktemp("school")
    with EmbeddedServer() as server:
        words = ["--redis-url", server.url, "--labels", folder, "--out", folder, "--port", 0]
        words += ["--metrics-port", metrics := free_port()]
        command = [sys.executable, "-m", "edgestream", "dashboard", *map(str, words)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            said = process.stderr.readline()
            assert said.startswith("page: "), said
            school = School(server.url, folder, said.split()[1], metrics)
            school.ask(17, 1.9)
            yield school
            process.terminate()


@pytest.fixture
def viewer(browser: Browser, school: School) -> Iterator[Viewer]:
    viewer = Viewer.of(browser, school.address)
    viewer.open("service")
    yield viewer
    viewer.page.context.close()
    assert viewer.complaints == []


def test_a_training_is_seen_while_it_goes_on_and_when_it_has_ended(
    school: School, viewer: Viewer, tmp_path: Path
) -> None:
    def train(running: Running) -> dict[str, object]:
        running.report(stage="fold 1", epochs=3, of_epochs=12, loss=0.25, left_s=9.0)
        viewer.sees("#jobs", "epoch 3 of 12, stage fold 1, loss 0.25, 9 s left")
        assert viewer.page.evaluate("document.querySelector('#jobs progress').value") == 0.25
        picture(viewer.page, "live-learning.png", tmp_path)
        return {"ending": "not promoted", "candidate": "fe-k@3", "why": ["it is no better"]}

    with closing(Jobs(school.url, {"train": train})) as jobs:
        jobs.enqueue("train", "train-fe-k")
        jobs.work(burst=True)
    viewer.sees("#jobs", "fe-k@3 not promoted: it is no better")


def test_a_label_that_is_asked_for_is_seen_until_it_is_answered(
    school: School, viewer: Viewer
) -> None:
    asked = school.ask(18, 2.1)
    viewer.sees("#request-words", "2 open, 0 answered")
    viewer.sees("#requests", "frame 18")

    def label(running: Running) -> None:
        viewer.sees("#requests", "being calculated")
        RequestFolder(school.folder).answer(asked.id, {})

    with closing(Jobs(school.url, {"label": label}, name=CALCULATIONS)) as jobs:
        jobs.enqueue("label", f"label-{asked.id}")
        jobs.work(burst=True)
    viewer.sees("#request-words", "1 open, 1 answered")


def test_labels_are_counted_on_their_way_to_the_archive(school: School, viewer: Viewer) -> None:
    stream = RedisLabelStream(school.url)
    stream.push([b"none"])
    viewer.sees("#label-words", "No trainer runs; 1 wait")
    viewer.sees("#trouble", "1 labels wait and no trainer takes them in: edgestream trainer NAME")
    with closing(stream), closing(Archivist(stream, school.folder)) as archivist:
        archivist.step(block_s=0)
        viewer.sees("#label-words", "A trainer takes labels in; 0 wait; so far 1 refused.")


def test_prometheus_is_told_how_many_look(school: School, viewer: Viewer) -> None:
    said = ""
    for _ in range(600):  # those of the tests before may be about to go
        with urllib.request.urlopen(f"http://127.0.0.1:{school.metrics}/metrics") as answer:
            said = answer.read().decode()
        if "edgestream_page_viewers 1.0" in said:
            return
        viewer.page.wait_for_timeout(100)
    raise AssertionError(said)
