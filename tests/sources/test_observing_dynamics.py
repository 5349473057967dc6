"""Frames from a dynamics in this process."""

from __future__ import annotations

import numpy as np
from ase import Atoms, units
from ase.calculators.lj import LennardJones
from ase.md.verlet import VelocityVerlet

from stream.sources.dynamics import Observer


def test_every_call_pushes_a_copy_with_its_time():
    atoms = Atoms("FeFe", positions=[[0, 0, 0], [0, 0, 1.3]], calculator=LennardJones())
    dynamics = VelocityVerlet(atoms, 2 * units.fs)
    pushed = []
    clock = lambda: dynamics.get_time() / units.fs  # noqa: E731
    dynamics.attach(Observer(atoms, pushed.append, clock), interval=5)
    dynamics.run(20)
    assert [chunk.structures.numbers.tolist() for chunk in pushed] == [[26, 26]] * 5
    np.testing.assert_allclose([chunk.times_fs[0] for chunk in pushed], [0, 10, 20, 30, 40])
    assert not np.array_equal(pushed[0].structures.positions, pushed[-1].structures.positions)


def test_without_a_clock_there_is_no_time_axis():
    pushed = []
    Observer(Atoms("Fe"), pushed.append)()
    assert pushed[0].times_fs is None
