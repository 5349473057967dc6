"""The Python API, as the README shows it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.md.verlet import VelocityVerlet
from commands import DEMO, frames_in, service, until

import edgestream
from xas.structure import StructureBatch

pytestmark = pytest.mark.processes


class Springs(Calculator):
    """Every atom is tied to where it was: cheap forces for a dynamics that stays a molecule."""

    implemented_properties = ("energy", "forces")

    def __init__(self, home: np.ndarray) -> None:
        super().__init__()
        self._home = home

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        away = atoms.positions - self._home
        self.results = {"energy": 2.5 * (away**2).sum(), "forces": -5.0 * away}


def complexes(n: int) -> list[Atoms]:
    return ase.io.read(DEMO, f":{n}")


def test_a_running_dynamics_beside_its_growing_file(tmp_path) -> None:
    atoms = complexes(1)[0]
    atoms.calc = Springs(atoms.positions.copy())
    atoms.set_momenta(np.random.default_rng(0).normal(0.0, 0.5, (len(atoms), 3)))
    dyn = VelocityVerlet(atoms, timestep=0.5)
    with edgestream.connect(out=tmp_path) as es:
        with es.run("md-300K", model="fe-k") as run:
            dyn.attach(run.observe(atoms), interval=10)
            dyn.run(100)
            until(lambda: frames_in(tmp_path / "md-300K.h5") == 11)
            with edgestream.open_run(tmp_path / "md-300K.h5") as growing:
                assert not growing.finished
                assert growing.average.n == 11
                dyn.run(100)
                until(lambda: len(growing.refresh()) == 21)
        result = run.result(timeout_s=60)
    assert result.finished
    assert len(result) == 21
    last = edgestream.predict(atoms)
    assert np.abs(result.intensity[-1] - last.intensity[0]).max() < 1e-6
    assert result.average.intensity.shape == result.average.errors.shape == result.energy.shape
    assert result.sites.atom.tolist() == [0] * 21
    assert len(result.structures()) == 21
    result.close()


def test_the_first_block_of_the_readme_runs_as_it_stands(tmp_path) -> None:
    readme = Path(__file__).parents[2] / "README.md"
    block = readme.read_text().split("```python\n")[1].split("```")[0]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert frames_in(tmp_path / "dynamics" / "cyanide-300K.h5") == 101


def test_runs_through_a_service_of_others(tmp_path) -> None:
    frames = complexes(6)
    with service(tmp_path) as url, edgestream.connect(url) as es:
        with es.run("a", timestep_fs=4.0) as run:
            arriving = es.follow("a")
            run.push(frames[0])
            run.push(frames[1:4])
            run.push(StructureBatch.from_atoms(frames[4:]), absorbers=[[0], [0]])
            assert run.next_index == 6
        with run.result(timeout_s=60) as result:
            assert result.times.tolist() == [0.0, 4.0, 8.0, 12.0, 16.0, 20.0]
            assert np.abs(result.intensity[:] - edgestream.predict(frames).intensity).max() < 1e-6
        assert {block.run for block in arriving} <= {"a"}
        with pytest.raises(edgestream.EdgestreamError, match="complete with 6 frames"):
            es.run("a")
        with pytest.raises(edgestream.EdgestreamError, match=r"'a' is finished.*open_run\("):
            es.follow("a")
        with pytest.raises(edgestream.EdgestreamError, match="no run 'b'; it knows: a"):
            es.follow("b")
        assert [state.run for state in es.runs()] == ["a"]


def test_an_exception_in_the_block_leaves_the_run_open_for_a_resume(tmp_path) -> None:
    frames = complexes(4)
    with edgestream.connect(out=tmp_path) as es:
        with contextlib.suppress(ZeroDivisionError), es.run("md") as run:
            run.push(frames[:2])
            raise ZeroDivisionError
        with es.run("md", resume=True) as run:
            run.push(frames[run.next_index :])
        with run.result(timeout_s=60) as result:
            assert result.frame_index.tolist() == [0, 1, 2, 3]


def test_predict_gives_rows_in_the_order_of_structures_then_atoms() -> None:
    one, two = complexes(2)
    two.symbols[3] = "Fe"
    spectra = edgestream.predict([one, two], model="fe-k")
    assert isinstance(spectra, edgestream.Spectra)
    n_energy = len(spectra.energy)
    assert spectra.energy.dtype == np.float64
    assert spectra.intensity.shape == spectra.errors.shape == (3, n_energy)
    assert spectra.intensity.dtype == spectra.errors.dtype == np.float32
    assert (spectra.structure.tolist(), spectra.atom.tolist()) == ([0, 1, 1], [0, 0, 3])
    chosen = edgestream.predict([one, two], absorbers=[[0], [3]])
    assert np.abs(chosen.intensity - spectra.intensity[[0, 2]]).max() < 1e-6
    by_name = edgestream.predict(StructureBatch.from_atoms([one, two]), absorbers="Fe")
    assert np.array_equal(by_name.intensity, spectra.intensity)
    assert np.abs(edgestream.predict(two).intensity - spectra.intensity[1:]).max() < 1e-6


def test_normalised_spectra_have_an_edge_step_of_one() -> None:
    spectra = edgestream.predict(complexes(2))
    normalised = spectra.normalised()
    assert normalised.dtype == np.float32
    ratio = spectra.intensity / normalised
    assert np.allclose(ratio, ratio[:, :1], rtol=1e-4)
    assert 0.7 < normalised[:, -20:].mean() < 1.3


def test_predict_refuses_in_one_sentence() -> None:
    one, two = complexes(2)
    two.positions[5] = np.inf
    for structures, options, words in (
        ([one, two], {}, "structure 1: "),
        ([one], {"absorbers": [[99]]}, "structure 0 has no atom 99"),
        ([one], {"absorbers": [[0], [0]]}, "absorbers for 2 of 1 structures"),
        ([one], {"absorbers": [[3]]}, "atom 3 is C"),
        ([one], {"absorbers": "Co"}, "predicts Fe"),
        ([one], {"model": "fe-q"}, "the nearest is 'fe-k'"),
        ("mine.extxyz", {}, "ASE Atoms or a list of them"),
        (DEMO, {}, "ase.io.read"),
    ):
        with pytest.raises(edgestream.EdgestreamError, match=words):
            edgestream.predict(structures, **options)
