"""Everything bad that happens in a campaign."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from cast import Actor
from power import cut_power
from script import FORGETFUL, Fault
from shim import Shim
from small_disk import SmallDisk
from theatre import SETTINGS, Theatre

LEASE_TAKEN_S = 15.0


@dataclass
class Faults:
    """Brings one after another, some of which end later; ``close`` forgets what was to come."""

    stage: Theatre
    brought: Counter[str] = field(default_factory=Counter)
    forgot_at: list[float] = field(default_factory=list)  # when a server lost data
    _later: list[threading.Timer] = field(default_factory=list)

    def bring(self, fault: Fault) -> None:
        """``kill worker`` is done by ``_kill_worker``, and so on."""
        self.brought[fault.kind] += 1
        words = fault.kind.replace(" of the ", " ").replace(" of a ", " ").split()
        verb, whom = words[0], words[-1]
        if fault.kind in FORGETFUL:
            self._restart_forgetful(fault)
        elif whom == "server" and verb in ("kill", "end"):
            self.stage.server.end(signal.SIGKILL if verb == "kill" else signal.SIGTERM)
            self.stage.server.start()
        elif verb == "network":
            self.stage.proxy.sever(whom)  # type: ignore[arg-type]
            self._after(0.2 + fault.draw, self.stage.proxy.heal)
        elif verb == "kill":
            self._one(whom, fault).kill()
        else:
            getattr(self, "_" + "_".join(words))(fault)

    def settle(self) -> None:
        """Wait for everything that was to come later."""
        for timer in self._later:
            timer.join()

    def close(self) -> None:
        for timer in self._later:
            timer.cancel()

    def _after(self, seconds: float, act: Callable[[], object]) -> None:
        timer = threading.Timer(seconds, act)
        timer.start()
        self._later.append(timer)

    def _one(self, kind: str, fault: Fault) -> Actor:
        actors = sorted(self.stage.cast.named(kind), key=lambda actor: actor.name)
        return actors[int(fault.draw * len(actors))]

    # -- stopped for longer than others are patient -----------------------------------------------

    def _stop_worker(self, fault: Fault) -> None:
        """Somebody takes its place meanwhile."""
        actor = self._one("worker", fault)
        actor.signal(signal.SIGSTOP)
        first = self.stage.cast.double(actor.name)
        self._after(2 * SETTINGS.claim_idle_s + fault.draw, lambda: wake(first))

    def _stop_writer(self, fault: Fault) -> None:
        """Until another one has the lease, however long that takes to start."""
        self._one("writer", fault).signal(signal.SIGSTOP)
        first = self.stage.cast.double("writer-0")

        def wake_late() -> None:
            end = time.monotonic() + LEASE_TAKEN_S
            while f".{first.pid}." in self.stage.lease_owner() and time.monotonic() < end:
                time.sleep(0.05)
            wake(first)

        self._after(0.2 + fault.draw, wake_late)

    def _stop_producer(self, fault: Fault) -> None:
        actor = self._one("producer", fault)
        actor.signal(signal.SIGSTOP)
        self._after(0.3 + fault.draw, lambda: actor.signal(signal.SIGCONT))

    def _stop_server(self, fault: Fault) -> None:
        self.stage.server.signal(signal.SIGSTOP)
        time.sleep(0.3 + fault.draw)
        self.stage.server.signal(signal.SIGCONT)

    # -- data that is gone ------------------------------------------------------------------------

    def _restart_forgetful(self, fault: Fault) -> None:
        server = self.stage.server
        self.forgot_at.append(time.monotonic())
        server.end(signal.SIGKILL)
        if fault.kind == "server empty":
            server.empty()
        elif fault.kind == "server cut at a random byte":
            server.cut(fault.draw)
        else:
            server.age(1.0)
        server.start()

    def _power_cut_writer(self, fault: Fault) -> None:
        with self.stage.cast.holding("writer-0") as writer:
            self.stage.cast.kill_all(writer.name)  # all of that machine
            if self.stage.out.is_dir():
                lost = cut_power(self.stage.out, writer.shim.synced())
                self.brought["(files that a power cut took)"] += lost

    # -- disks ------------------------------------------------------------------------------------

    def _full_disk_writer(self, fault: Fault) -> None:
        self._fill(self.stage.out_disk, fault)

    def _full_disk_spool(self, fault: Fault) -> None:
        self._fill(self.stage.spool_disk, fault)

    def _fill(self, disk: SmallDisk, fault: Fault) -> None:
        disk.fill()
        self._after(0.3 + fault.draw, disk.relieve)

    def _full_disk_server(self, fault: Fault) -> None:
        self.stage.data_disk.fill()
        time.sleep(0.3 + fault.draw)  # no other fault beside it: what it has not written, it has
        self.stage.data_disk.relieve()
        time.sleep(0.2)

    def _slow_disk(self, fault: Fault) -> None:
        for shim in (self._one("writer", fault).shim, self.stage.server_shim):
            shim.slow(0.05 + 0.1 * fault.draw)
            self._after(1.0, lambda shim=shim: shim.slow(0.0))

    # -- clocks: an hour on, or back --------------------------------------------------------------

    def _clock_server(self, fault: Fault) -> None:
        self._jump(self.stage.server_shim, fault, back_s=2.0)

    def _clock_writer(self, fault: Fault) -> None:
        self._jump(self._one("writer", fault).shim, fault)

    def _clock_worker(self, fault: Fault) -> None:
        self._jump(self._one("worker", fault).shim, fault)

    def _clock_producer(self, fault: Fault) -> None:
        self._jump(self._one("producer", fault).shim, fault)

    def _jump(self, shim: Shim, fault: Fault, back_s: float = 3600.0) -> None:
        shim.jump(3600.0 if fault.draw < 0.5 else -back_s)


def wake(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)


__all__ = ("Faults", "wake")
