"""The theatre of a campaign: its disks, its server, its network, its processes."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from bundles import make_bundle
from cast import Cast
from mortal_server import MortalServer
from proxy import Proxy
from script import Script
from shim import Shim
from small_disk import SmallDisk

from edgestream.models import open_store
from edgestream.settings_words import settings_as_options
from stream.redis_broker import RedisBroker
from stream.redis_connection import RedisConnection
from stream.settings import Settings
from xas.errors import Retry

HERE = Path(__file__).parent
SETTINGS = Settings(
    claim_idle_s=0.8, lease_s=0.6, commit_interval_s=0.05, segment_grace_s=0.5, block_atoms=2000
)
DISKS_MB = {"o": 192, "d": 160, "s": 48}  # of the writer, the server, the spools
MOST_CRASHES = 10
MUST_COME_S = 120.0


@dataclass
class Theatre:
    """Starts everybody; says how far they are; ends them all.

    ``protection`` is what is taken away (role.py), "whole" for nothing.
    """

    script: Script
    folder: Path
    protection: str = "whole"
    understudied: bool = True
    _reached: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        disks = (SmallDisk(self.folder / name, size) for name, size in DISKS_MB.items())
        self.out_disk, self.data_disk, self.spool_disk = disks
        self.out = self.out_disk.place / "out"
        self.models = self.folder / "models"
        open_store(self.models).put(make_bundle(self.folder / "tiny").folder)
        self.server_shim = Shim(self.folder, "server")
        self.server = MortalServer(self.folder, self.data_disk.place / "data", self.server_shim)
        self.server.start()
        self.proxy = Proxy(self.server.port)
        self.broker = RedisBroker(self.server.url, SETTINGS)
        shape = (self.script.n_producers, 2)
        self.board = np.memmap(self.folder / "board", dtype=np.int64, mode="w+", shape=shape)
        self.script.save(self.folder / "script")
        surroundings = {"EDGESTREAM_URL": self.proxy.url, "OMP_NUM_THREADS": "1"}
        self.cast = Cast(self.folder, surroundings, self.understudied)
        self._cast_all()

    def _cast_all(self) -> None:
        for k in range(self.script.n_producers):
            self.cast.add(f"producer-{k}", self._producer(k))
        for k in range(self.script.n_workers):
            self.cast.add(f"worker-{k}", self._role("worker", "--name", f"w{k}"))
        self.cast.add("writer-0", self._role("writer", "--out", str(self.out)))

    def _producer(self, number: int) -> list[str]:
        files = [str(self.folder / name) for name in ("board", f"journal-{number}")]
        spool = str(self.spool_disk.place / str(number)) if number in self.script.spools else ""
        words = [str(HERE / "player.py"), self.protection, spool, self.proxy.url]
        place = [str(self.folder / "script"), str(number)]
        return [*words, *place, *files, *settings_as_options(SETTINGS)]

    def _role(self, role: str, *words: str) -> list[str]:
        place = ["--models", str(self.models)]
        options = settings_as_options(SETTINGS)
        return [str(HERE / "role.py"), self.protection, role, *place, *options, *words]

    def allow(self, n: int, *producers: int) -> None:
        """Let these producers (by default all) push so many of their frames."""
        for k in producers or range(self.script.n_producers):
            self.board[k, 0] = min(n, sum(run.n_frames for run in self.script.of_producer(k)))

    def allow_part(self, part: float) -> None:
        """Let all push that part of their frames, and one more."""
        for k in range(self.script.n_producers):
            own = sum(run.n_frames for run in self.script.of_producer(k))
            self.allow(int(part * own) + 1, k)

    @property
    def n_pushed(self) -> int:
        return int(self.board[:, 1].sum())

    def on_disk(self, run: str = "") -> int:
        """Frames on disk, of a run or of all, as far as a server has ever known.

        A finished run counts one more.
        """
        with contextlib.suppress(Retry):
            for state in self.broker.runs():
                reached = state.watermark + state.finished
                self._reached[state.run] = max(self._reached.get(state.run, 0), reached)
        return self._reached.get(run, 0) if run else sum(self._reached.values())

    def lease_owner(self) -> str:
        connection = RedisConnection(self.server.url)
        try:
            owner = connection.command("HGET", "{es:0}:writer", "owner")
        except Retry:
            return ""
        finally:
            connection.close()
        return (owner or b"").decode()

    def require_life(self) -> None:
        """AssertionError where somebody cannot be kept alive: nothing would come of it."""
        assert self.cast.crashed < MOST_CRASHES, f"{dict(self.cast.exits)}: see {self.folder}/*.log"

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for what must come, however slow the machine is."""
        end = time.monotonic() + MUST_COME_S
        while not condition():
            self.require_life()
            assert time.monotonic() < end, f"it did not come: see {self.folder}/*.log"
            time.sleep(0.01)

    def all_played(self) -> bool:
        return all(actor.done for actor in self.cast.named("producer"))

    def wait_until_played(self, stalled_s: float) -> bool:
        """Until every run is finished, or so long without any progress; whether they are."""
        end, before = time.monotonic() + stalled_s, (-1, -1)
        while not self.all_played():
            now = (self.n_pushed, self.on_disk())
            if now > before:
                before, end = now, time.monotonic() + stalled_s
            self.require_life()
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def close(self, *, keep: bool = False) -> None:
        """End everybody; ``keep`` what is on the small disks, for whoever looks for the reason."""
        self.cast.close()
        self.broker.close()
        self.proxy.close()
        self.server.close()
        for disk in (self.out_disk, self.data_disk, self.spool_disk):
            if keep and disk.mounted:
                disk.relieve()
                shutil.copytree(disk.place, self.folder / f"{disk.place.name}-kept")
            disk.unmount()
