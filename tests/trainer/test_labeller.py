"""Requests answered by a real external process, from the asking to the label in the stream."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import theory_code
from iron_labels import ENERGY, octahedron, spectrum

from edgestream.embedded import EmbeddedServer
from edgestream.labelling_process import ask_jobs
from stream.jobs import Jobs
from stream.labels import Label
from stream.sources.fdmnes import read_fdmnes
from stream.sources.theory_input import cluster_of, theory_input
from trainer.label_request import LabelRequest, RequestFolder, request_of
from trainer.labelling_task import LABELLING, LabellingTask, TheorySettings
from xas.errors import BadLabels
from xas.structure import StructureBatch

LENGTHS = np.linspace(1.8, 2.2, 9)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as made:
        yield made


@pytest.fixture
def requests(tmp_path: Path) -> RequestFolder:
    return RequestFolder(tmp_path / "labels")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.npz"
    np.savez(path, length=LENGTHS, energy=ENERGY, mu=np.array([spectrum(x) for x in LENGTHS]))
    return path


@pytest.fixture
def labelled(
    server: EmbeddedServer, requests: RequestFolder, table: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., tuple[Jobs, list[Label]]]]:
    """Does the jobs of all requests by the theory code in a mood; the queue, and the labels."""
    opened = []

    def work(program: str, *mood: str, timeout_s: float = 60.0) -> tuple[Jobs, list[Label]]:
        pushed: list[Label] = []
        command = [sys.executable, theory_code.__file__, str(table), program, *mood]
        settings = TheorySettings(command=command, program=program, timeout_s=timeout_s)
        tasks = {LABELLING: LabellingTask(requests, settings, pushed.append)}
        jobs = Jobs(server.url, tasks, name=request.node.name)
        opened.append(jobs)
        ask_jobs(requests, jobs, timeout_s)
        jobs.work(burst=True)
        return jobs, pushed

    yield work
    for jobs in opened:
        forget(jobs)
        jobs.close()


def forget(jobs: Jobs) -> None:
    """As a server that lost everything."""
    for job in jobs.all():
        jobs._fetch(job.id).delete()


def asked(length: float = 2.0, **about: float) -> LabelRequest:
    """For the iron of an octahedron, which is not its first atom."""
    made = octahedron(length)
    turned = StructureBatch.from_arrays(made.numbers[::-1], made.positions[::-1] + 5.0)
    why = {"novelty": 2.0, "uncertainty": 0.1, "t_asked": 1.7e9} | about
    return request_of(turned, 6, "K", f"octahedron {length:g}", **why)


@pytest.mark.parametrize("program", ["feff", "fdmnes"])
def test_a_request_comes_back_as_the_label_of_its_own_structure(
    program: str, requests: RequestFolder, labelled: Callable[..., tuple[Jobs, list[Label]]]
) -> None:
    request = asked(1.9)
    assert requests.add(request)
    _, (label,) = labelled(program)
    np.testing.assert_array_equal(label.structure().positions, request.structure().positions)
    energy, intensity = label.spectrum()
    np.testing.assert_allclose(energy, ENERGY, atol=1e-5)
    np.testing.assert_allclose(intensity, spectrum(1.9), rtol=1e-6)
    assert (label.theory, label.name) == ({"feff": "FEFF10"}.get(program, "FDMNES"), request.name)
    assert requests.waiting() == []


def test_a_calculation_that_fails_is_tried_again_in_a_folder_of_its_own(
    tmp_path: Path, requests: RequestFolder, labelled: Callable[..., tuple[Jobs, list[Label]]]
) -> None:
    requests.add(asked())
    jobs, pushed = labelled("feff", "fail-once", str(tmp_path / "failed"))
    (job,) = jobs.all()
    assert (job.state, len(pushed)) == ("done", 1)
    place = requests.folder / asked().id
    assert "did not converge" in (place / "1" / "log.txt").read_text()
    assert (place / "2" / "xmu.dat").exists()


def test_a_calculation_that_hangs_is_ended_and_said_to_have_failed(
    requests: RequestFolder, labelled: Callable[..., tuple[Jobs, list[Label]]]
) -> None:
    requests.add(asked())
    jobs, pushed = labelled("feff", "hang", timeout_s=0.3)
    (job,) = jobs.all()
    assert (job.state, pushed) == ("failed", [])
    assert "took longer than 0.3 s" in job.error
    assert ask_jobs(requests, jobs, 1.0) == []  # it stays failed, and on disk it waits
    assert len(requests.waiting()) == 1


def test_requests_survive_a_server_that_came_back_empty(
    requests: RequestFolder, server: EmbeddedServer
) -> None:
    requests.add(asked(1.9, t_asked=1.0))
    requests.add(asked(2.0, t_asked=2.0))
    for name in ("before", "after"):
        jobs = Jobs(server.url, name=name)
        new = ask_jobs(requests, jobs, 1.0)
        assert [job.removeprefix("label-") for job in new] == [r.id for r in requests.waiting()]
        forget(jobs)
        jobs.close()


def test_the_same_structure_is_asked_for_once(requests: RequestFolder) -> None:
    assert requests.add(asked(2.0, t_asked=1.0))
    assert not requests.add(asked(2.0, t_asked=2.0))
    assert requests.add(asked(2.1))
    assert len(requests.all()) == 2


def test_the_cluster_of_a_crystal_holds_every_image_within_the_radius() -> None:
    """Body-centred iron: 1, 8, 6, 12 and 24 atoms in the first shells."""
    cell = 2.87 * np.eye(3)
    iron = StructureBatch.from_arrays(
        [26, 26], [[0, 0, 0], [1.435] * 3], cells=cell[None], pbc=np.ones((1, 3), dtype=bool)
    )
    assert len(cluster_of(iron, 4.8).numbers) == 1 + 8 + 6 + 12 + 24
    assert len(cluster_of(octahedron(), 4.8).numbers) == 7


def test_input_of_fdmnes_is_read_back_as_the_cluster(tmp_path: Path) -> None:
    from stream.sources.label_options import LabelOptions

    for name, text in theory_input("fdmnes", octahedron(1.95), "K", 5.0).items():
        (tmp_path / name).write_text(text)
    rows = "\n".join(f"{e} {m}" for e, m in zip(ENERGY, spectrum(), strict=True))
    (tmp_path / "spectrum_conv.txt").write_text(f"Energy <xanes>\n{rows}\n")
    (label,) = read_fdmnes(tmp_path, LabelOptions())
    assert isinstance(label, Label)
    assert sorted(label.numbers.view("|u1", -1).tolist()) == [8] * 6 + [26]
    away = np.linalg.norm(label.structure().positions, axis=1)
    np.testing.assert_allclose(away[1:], 1.95, atol=1e-5)


def test_no_cluster_is_made_of_an_atom_alone() -> None:
    with pytest.raises(BadLabels, match="1 atoms within"):
        theory_input("feff", octahedron(), "K", 1.0)
