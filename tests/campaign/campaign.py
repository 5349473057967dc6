"""A campaign: a script is played, and the ledger kept."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from bundles import make_bundle
from cast import Cast
from ledger import Ledger
from mortal_server import MortalServer
from power import cut_power
from proxy import Proxy
from script import FORGETFUL, Fault, Script
from shim import Shim
from small_disk import SmallDisk

from edgestream.models import open_store
from edgestream.settings_words import settings_as_options
from stream.codec import decode
from stream.messages import DeadLetter
from stream.redis_broker import RedisBroker
from stream.redis_connection import RedisConnection
from stream.result_file.reader import RunFile
from stream.service import say
from stream.settings import Settings
from workers.predictor import Predictor
from xas.errors import BadResultFile, Retry

HERE = Path(__file__).parent
SETTINGS = Settings(
    claim_idle_s=0.6, lease_s=0.8, commit_interval_s=0.05, segment_grace_s=0.5, block_atoms=2000
)
UNDER_WAY_S = 0.3  # what was pushed is in somebody's hands
START_S = 60.0
LEASE_TAKEN_S = 15.0
AFTER_S = 1.2  # without a frame, the next fault comes anyway
STALLED_S = 45.0  # without a frame, or a finished run, nothing more will come


@dataclass
class Campaign:
    """Starts the processes, brings the faults, waits for the end, keeps the ledger."""

    script: Script
    folder: Path
    protection: str = "whole"
    spool: bool = False  # then no producer is ever sent back
    stalled_s: float = STALLED_S
    ledger: Ledger = field(default_factory=Ledger)
    brought: Counter[str] = field(default_factory=Counter)
    history: list[str] = field(default_factory=list)
    _later: list[threading.Timer] = field(default_factory=list)
    _forgot_at: list[float] = field(default_factory=list)
    _reached: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.out_disk, self.data_disk = (SmallDisk(self.folder / name) for name in ("o", "d"))
        self.out = self.out_disk.place / "out"
        self.models = self.folder / "models"
        open_store(self.models).put(make_bundle(self.folder / "tiny").folder)
        self.server_shim = Shim(self.folder, "server")
        self.server = MortalServer(self.folder, self.data_disk.place / "data", self.server_shim)
        self.server.start()
        self.proxy = Proxy(self.server.port)
        self.broker = RedisBroker(f"redis://127.0.0.1:{self.server.port}", SETTINGS)
        self.board = np.memmap(
            self.folder / "board", dtype=np.int64, mode="w+", shape=(self.script.n_producers, 2)
        )
        self.script.save(self.folder / "script")
        self.cast = Cast(self.folder)
        self._cast_all()

    def _cast_all(self) -> None:
        for k in range(self.script.n_producers):
            self.cast.add(f"producer-{k}", self._producer(k))
        for k in range(self.script.n_workers):
            self.cast.add(f"worker-{k}", self._role("worker", "--name", f"w{k}"))
        self.cast.add("writer-0", self._role("writer", "--out", str(self.out)))

    def _producer(self, number: int) -> list[str]:
        files = [str(self.folder / name) for name in ("board", f"journal-{number}")]
        spool = str(self.folder / "spool") if self.spool else ""
        words = [str(HERE / "player.py"), self.protection, spool, self.proxy.url]
        place = [str(self.folder / "script"), str(number)]
        return [*words, *place, *files, *settings_as_options(SETTINGS)]

    def _role(self, role: str, *words: str) -> list[str]:
        place = ["--redis-url", self.proxy.url, "--models", str(self.models)]
        options = settings_as_options(SETTINGS)
        return [str(HERE / "role.py"), self.protection, role, *place, *options, *words]

    # -- the play ---------------------------------------------------------------------------------

    def play(self) -> Ledger:
        """All of it; the ledger at the end."""
        parts = len(self.script.faults) + 1
        self._allow(0.5 / parts)
        self._until_on_disk(0.4 / parts, START_S)
        for k, fault in enumerate(self.script.faults):
            self._until_on_disk(k / parts, AFTER_S)
            self._allow((k + 1) / parts)
            time.sleep(UNDER_WAY_S * (7 * fault.draw % 1))
            self._bring(fault)
            self._look_into_a_file(fault)
        self._allow(1.0)
        self._until_finished()
        self._settle()
        return self.ledger

    def _allow(self, part: float) -> None:
        for k in range(self.script.n_producers):
            own = sum(run.n_frames for run in self.script.of_producer(k))
            self.board[k, 0] = int(part * own) + 1 if part < 1.0 else own

    def _until_on_disk(self, part: float, patience_s: float) -> None:
        """The service has overcome what was before; or nothing goes on, and worse may come."""
        goal, end, before = part * self.script.n_frames, time.monotonic() + patience_s, -1
        while (now := self._n_on_disk()) < goal and time.monotonic() < end:
            if now > before:
                before, end = now, time.monotonic() + patience_s
            time.sleep(0.02)

    def _until_finished(self) -> None:
        end, before = time.monotonic() + self.stalled_s, (-1, -1)
        while not all(actor.done for actor in self.cast.named("producer")):
            now = (int(self.board[:, 1].sum()), self._n_on_disk())
            if now > before:
                before, end = now, time.monotonic() + self.stalled_s
            if time.monotonic() > end:
                self.ledger.notes.append(f"stalled at {now}; {dict(self.cast.exits)}")
                return
            time.sleep(0.1)

    def _n_on_disk(self) -> int:
        """Frames on disk, as far as a server has ever known; a finished run counts one more."""
        with contextlib.suppress(Retry):
            for state in self.broker.runs():
                reached = state.watermark + state.finished
                self._reached[state.run] = max(self._reached.get(state.run, 0), reached)
        return sum(self._reached.values())

    def _settle(self) -> None:
        """Everything that was to come later has come; the books are closed."""
        for timer in self._later:
            timer.join()
        self._look_at_journals()
        letters = [decode(raw, DeadLetter) for raw in self.broker.dead_letters(0)]
        self.ledger.book_letters(self.script, letters, forgetful=bool(self._forgot_at))
        predictor = Predictor(open_store(self.models).get("tiny"))
        self.ledger.book(self.script, self.out, predictor)

    def _look_at_journals(self) -> None:
        """A producer may be sent back only after a server has lost data."""
        for k in range(self.script.n_producers):
            for line in (self.folder / f"journal-{k}").read_text().splitlines():
                words = line.split()
                if words[0] == "forgot":
                    self.brought["(a producer sent back)"] += 1
                    if self.spool or not any(at < float(words[-1]) for at in self._forgot_at):
                        self.ledger.unexplained += 1
                        self.ledger.notes.append(line)

    def _look_into_a_file(self, fault: Fault) -> None:
        """Any file, at any moment, opens and holds its frames in order."""
        run = random.Random(fault.draw).choice(self.script.runs)
        path = self.out / f"{run.name}.h5"
        if not path.exists():
            return
        try:
            with RunFile(path) as file:
                whole = np.array_equal(file.frame_index, np.arange(len(file)))
                assert len(file.intensity[:]) == len(file)
        except BadResultFile as error:
            whole, note = False, str(error)
        else:
            note = f"{path}: rows out of order"
        if not whole:
            self.ledger.unreadable += 1
            self.ledger.notes.append(note)

    # -- faults -----------------------------------------------------------------------------------

    def _bring(self, fault: Fault) -> None:
        self.history.append(f"{time.monotonic():.2f} {self._n_on_disk()} {fault.kind}")
        self.brought[fault.kind] += 1
        verb, _, whom = fault.kind.partition(" ")
        if fault.kind in FORGETFUL:
            self._restart_forgetful(fault)
        elif fault.kind in ("kill server", "end server"):
            self.server.end(signal.SIGKILL if verb == "kill" else signal.SIGTERM)
            self.server.start()
        elif verb == "network":
            self.proxy.sever(whom)  # type: ignore[arg-type]
            self._after(0.2 + fault.draw, self.proxy.heal)
        else:
            getattr(
                self,
                "_" + fault.kind.replace(" of the ", "_").replace(" of a ", "_").replace(" ", "_"),
            )(fault)

    def _after(self, seconds: float, act: Callable[[], object]) -> None:
        timer = threading.Timer(seconds, act)
        timer.start()
        self._later.append(timer)

    def _one(self, kind: str, fault: Fault) -> str:
        names = sorted(actor.name for actor in self.cast.named(kind))
        return names[int(fault.draw * len(names))]

    def _kill(self, kind: str, fault: Fault) -> None:
        self.cast.actors[self._one(kind, fault)].kill()

    def _kill_worker(self, fault: Fault) -> None:
        self._kill("worker", fault)

    def _kill_writer(self, fault: Fault) -> None:
        self._kill("writer", fault)

    def _kill_producer(self, fault: Fault) -> None:
        self._kill("producer", fault)

    def _stop_worker(self, fault: Fault) -> None:
        """Stopped for longer than others are patient; somebody takes its place meanwhile."""
        name = self._one("worker", fault)
        self.cast.actors[name].signal(signal.SIGSTOP)
        first = self.cast.double(name)
        self._after(2 * SETTINGS.claim_idle_s + fault.draw, lambda: wake(first))

    def _stop_writer(self, fault: Fault) -> None:
        """Stopped until another one has the lease, however long that takes to start."""
        self.cast.actors["writer-0"].signal(signal.SIGSTOP)
        first = self.cast.double("writer-0")

        def wake_late() -> None:
            end = time.monotonic() + LEASE_TAKEN_S
            while f".{first.pid}." in self._lease_owner() and time.monotonic() < end:
                time.sleep(0.05)
            wake(first)

        self._after(0.2 + fault.draw, wake_late)

    def _lease_owner(self) -> str:
        connection = RedisConnection(f"redis://127.0.0.1:{self.server.port}")
        try:
            owner = connection.command("HGET", "{es:0}:writer", "owner")
        except Retry:
            return ""
        finally:
            connection.close()
        return (owner or b"").decode()

    def _stop_producer(self, fault: Fault) -> None:
        actor = self.cast.actors[self._one("producer", fault)]
        actor.signal(signal.SIGSTOP)
        self._after(0.3 + fault.draw, lambda: actor.signal(signal.SIGCONT))

    def _stop_server(self, fault: Fault) -> None:
        process = self.server
        process.signal(signal.SIGSTOP)
        time.sleep(0.3 + fault.draw)
        process.signal(signal.SIGCONT)

    def _restart_forgetful(self, fault: Fault) -> None:
        self._forgot_at.append(time.monotonic())
        self.server.end(signal.SIGKILL)
        if fault.kind == "server empty":
            self.server.empty()
        elif fault.kind == "server cut at a random byte":
            self.server.cut(fault.draw)
        else:
            self.server.age(1.0)
        self.server.start()

    def _full_disk_writer(self, fault: Fault) -> None:
        self.out_disk.fill()
        self._after(0.3 + fault.draw, self.out_disk.relieve)

    def _full_disk_server(self, fault: Fault) -> None:
        self.data_disk.fill()
        time.sleep(0.3 + fault.draw)  # no other fault beside it: what it has not written, it has
        self.data_disk.relieve()
        time.sleep(0.2)

    def _power_cut_writer(self, fault: Fault) -> None:
        with self.cast._lock:
            writer = self.cast.actors["writer-0"]
            writer.kill()
            if self.out.is_dir():
                self.brought["(files that a power cut took)"] += cut_power(
                    self.out, writer.shim.synced()
                )

    def _clock_server(self, fault: Fault) -> None:
        self._jump(self.server_shim, fault, back_s=2.0)

    def _clock_writer(self, fault: Fault) -> None:
        self._jump(self.cast.actors["writer-0"].shim, fault)

    def _clock_worker(self, fault: Fault) -> None:
        self._jump(self.cast.actors[self._one("worker", fault)].shim, fault)

    def _jump(self, shim: Shim, fault: Fault, back_s: float = 3600.0) -> None:
        """An hour on, or back."""
        shim.jump(3600.0 if fault.draw < 0.5 else -back_s)

    def _slow_disk(self, fault: Fault) -> None:
        for shim in (self.cast.actors["writer-0"].shim, self.server_shim):
            shim.slow(0.05 + 0.1 * fault.draw)
            self._after(1.0, lambda shim=shim: shim.slow(0.0))

    # -- the end ----------------------------------------------------------------------------------

    def close(self) -> None:
        for timer in self._later:
            timer.cancel()
        self.cast.close()
        self.broker.close()
        self.proxy.close()
        self.server.close()
        for disk in (self.out_disk, self.data_disk):
            disk.unmount()

    def table(self) -> str:
        """Seed, faults by kind, and the ledger."""
        lines = [f"seed {self.script.seed}: {len(self.script.faults)} faults"]
        lines += [f"  {kind:32} {n:5}" for kind, n in sorted(self.brought.items())]
        book = self.ledger
        for name in ("frames", "lost", "doubled", "wrong", "innocents", "poison", "letters_gone",
                     "letters_doubled", "unreadable", "unexplained"):  # fmt: skip
            lines.append(f"{name:34} {getattr(book, name):5}")
        lines += [f"  ended by themselves: {dict(self.cast.exits)}", *book.notes[:10]]
        return "\n".join(lines)


def play(
    script: Script, folder: Path, *, protection: str = "whole", spool: bool = False,
    stalled_s: float = STALLED_S,
) -> Ledger:  # fmt: skip
    """Play a script in a folder, print its table, return its ledger."""
    campaign = Campaign(script, folder, protection, spool, stalled_s)
    try:
        ledger = campaign.play()
    finally:
        campaign.close()
        (folder / "history").write_text("\n".join(campaign.history))
    say(campaign.table())
    return ledger


def wake(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)


def impossible(folder: Path) -> dict[str, str]:
    """Kinds of faults that cannot be made here, and why."""
    from small_disk import can_mount

    missing = {}
    if not can_mount(folder):
        why = "this user may not mount a tmpfs"
        missing |= {f"full disk of the {who}": why for who in ("writer", "server")}
    if not Shim(folder, "probe").works:
        why = "no C compiler for the shim"
        kinds = ("clock of the server", "clock of the writer", "clock of a worker", "slow disk")
        missing |= dict.fromkeys((*kinds, "power cut of the writer"), why)
    return missing


def say_missing(missing: dict[str, str]) -> None:
    for kind, why in missing.items():
        say(f"not covered: {kind}: {why}")


__all__: Sequence[str] = ("Campaign", "impossible", "play", "say_missing")
