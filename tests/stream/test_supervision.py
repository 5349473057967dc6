from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from processes import has_ended, until

from stream.service import Patience, StopSignal, run_until_stopped
from stream.supervisor import GIVES_UP_AFTER, Supervisor
from xas.errors import Reject, ServerUnreachable, WorkerUnfit

STAYS = "import sys; sys.stdin.read()"
DIES = "import sys; print('no luck', file=sys.stderr); sys.exit(7)"


def python(program: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", program]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(said: list[str]) -> Iterator[Supervisor]:
    supervisor = Supervisor(tell=said.append)
    yield supervisor
    supervisor.stop(timeout_s=5)


def test_a_child_that_dies_is_started_again(supervisor: Supervisor, said: list[str]) -> None:
    child = supervisor.add("worker 0", python(STAYS))
    os.kill(child.starts[0], signal.SIGKILL)
    until(lambda: len(child.starts) == 2, supervisor.watch)
    assert supervisor.pids("worker") == [child.starts[1]]
    assert "worker 0 ended (signal 9): started again" in said


def test_a_death_is_counted_once_however_often_one_looks(supervisor: Supervisor) -> None:
    child = supervisor.add("worker 0", python(DIES))
    until(lambda: child.process is not None and child.process.poll() is not None)
    for _ in range(3 * GIVES_UP_AFTER):
        supervisor.watch()
    assert (child.deaths, child.failed) == (1, False)


def test_a_hopeless_child_is_given_up_with_its_last_words(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.supervisor.RESTART_PAUSE_S", 0.0)
    child = supervisor.add("worker 0", python(DIES))
    until(lambda: child.failed, supervisor.watch)
    assert len(child.starts) == GIVES_UP_AFTER
    until(lambda: supervisor.failures("worker") == ["no luck"])
    assert supervisor.alive("worker") == 0
    assert supervisor.pids() == []


@pytest.mark.parametrize("code", [Reject.exit_code, WorkerUnfit.exit_code])
def test_a_child_that_says_the_fault_stays_is_not_started_again(
    supervisor: Supervisor, code: int
) -> None:
    child = supervisor.add("writer", python(f"raise SystemExit({code})"))
    until(lambda: child.failed, supervisor.watch)
    assert len(child.starts) == 1
    assert supervisor.failures("worker") == []


def test_children_end_when_they_are_told_to(supervisor: Supervisor) -> None:
    child = supervisor.add("worker 0", python(STAYS))
    process = child.process
    supervisor.stop()
    assert process is not None
    assert process.returncode == 0
    supervisor.watch()
    assert len(child.starts) == 1


def test_a_child_that_does_not_end_is_killed(supervisor: Supervisor, said: list[str]) -> None:
    program = "import time; time.sleep(600)"
    process = supervisor.add("worker 0", python(program)).process
    supervisor.stop(timeout_s=0.2)
    assert process is not None
    assert process.returncode == -signal.SIGKILL
    assert said == ["worker 0 did not end within 0.2 s: killed"]


def test_children_end_when_their_parent_is_killed() -> None:
    child = "from stream.service import StopSignal; StopSignal().follow_parent().wait()"
    parent = (
        "import sys\nfrom stream.supervisor import Supervisor\n"
        f"c = Supervisor().add('worker', [sys.executable, '-c', {child!r}])\n"
        "print(c.starts[0], flush=True)\ninput()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert not has_ended(pid)
        process.kill()
    until(lambda: has_ended(pid))


# -- signals and patience -------------------------------------------------------------------------


@pytest.fixture
def stop() -> Iterator[StopSignal]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield StopSignal().listen()
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_to_stop(stop: StopSignal, number: int) -> None:
    assert not stop.is_set()
    signal.raise_signal(number)
    assert stop.wait(20)


def test_a_second_interrupt_ends_the_process(stop: StopSignal) -> None:
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_the_end_of_the_parents_pipe_asks_to_stop() -> None:
    ours, theirs = os.pipe()
    stop = StopSignal().follow_parent(ours)
    os.write(theirs, b"still here")
    assert not stop.is_set()
    os.close(theirs)
    assert stop.wait(20)
    os.close(ours)


def test_a_loop_waits_for_a_server_that_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    stop = threading.Event()
    answers = [ServerUnreachable("gone")] * 3 + [None, None]

    def step() -> None:
        answer = answers.pop(0)
        if not answers:
            stop.set()
        if answer is not None:
            raise answer

    run_until_stopped(step, stop, name="worker")
    first, last = capsys.readouterr().err.splitlines()
    assert first == "worker: gone; trying again"
    assert last.startswith("worker: going on after")


def test_a_loop_ends_with_an_error_that_waiting_does_not_mend() -> None:
    def step() -> None:
        raise WorkerUnfit("broken")

    with pytest.raises(WorkerUnfit):
        run_until_stopped(step, threading.Event(), name="worker")


def test_patience_waits_longer_each_time_up_to_a_limit() -> None:
    pauses: list[float] = []
    said: list[str] = []
    patience = Patience("x", pauses.append, said.append, longest_s=0.3)
    for _ in range(5):
        patience.wait(ServerUnreachable("away"))
    assert pauses == [0.05, 0.1, 0.2, 0.3, 0.3]
    assert patience.waited_s == pytest.approx(0.95)
    patience.over()
    patience.over()
    patience.wait(ServerUnreachable("away again"))
    assert pauses[-1] == 0.05
    assert [line.split(";")[0] for line in said] == [
        "x: away",
        "x: going on after 0.9 s",
        "x: away again",
    ]
