"""The long campaign, in episodes: ``make campaign``, or with PYTHONPATH=.:tests:tests/campaign

    python tests/campaign/long.py --frames 1000000 --faults 1000 --seed 7

Every episode is a campaign of its own, with a seed that follows from the printed one, and a line in
the record. One that was cut off goes on with --resume; --episode 3 plays the fourth alone again.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec
from campaign import PATIENT_S, STALLED_S, Campaign, impossible, play, say_missing
from ledger import Ledger
from script import Size, write_script

from stream.service import say

TELL_S = 30.0


class Episode(msgspec.Struct, frozen=True):
    """A line of the record."""

    number: int
    seed: int
    faults: int
    seconds: float
    counts: dict[str, int]
    brought: dict[str, int]
    clean: bool


@dataclass
class Season:
    """All episodes of a seed, and what has become of them."""

    words: argparse.Namespace
    record: Path

    def __post_init__(self) -> None:
        self.n = max(1, self.words.frames // self.words.episode_frames)
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        self.played = [msgspec.json.decode(line, type=Episode) for line in lines]
        self._started = self._told = time.monotonic()

    def play(self) -> bool:
        """What is left, or the one that was asked for; whether nothing was found."""
        known = {episode.number for episode in self.played}
        one = self.words.episode
        left = [k for k in range(self.n) if k not in known] if one is None else [one]
        for i, k in enumerate(left):
            self._play(k, i, len(left))
        return all(episode.clean for episode in self.played)

    def _play(self, k: int, before: int, of: int) -> None:
        each = Size(
            self.words.frames // self.n, self.words.faults // self.n, self.words.runs // self.n
        )
        seed = 1000 * self.words.seed + k
        folder = Path(tempfile.mkdtemp(prefix=f"campaign-{seed}-"))
        without = [*impossible(folder)]
        script = write_script(seed, each, without=without, only=self.words.only)
        started, n = time.monotonic(), each.faults

        def tell(faults: int, frames: int) -> None:
            self._tell(k, (before + faults / n) / of, f"{faults} of {n} faults, {frames:,} frames")

        campaign = play(
            script, folder, protection=self.words.protection, told=tell,
            stalled_s=self.words.stalled, after_s=self.words.patience,
        )  # fmt: skip
        self._keep(k, campaign, time.monotonic() - started)
        if campaign.ledger.clean:
            shutil.rmtree(folder)
        else:
            say(f"logs, journals and files: {folder}")

    def _tell(self, k: int, part: float, what: str) -> None:
        now = time.monotonic()
        if now - self._told > TELL_S:
            self._told = now
            left_min = (now - self._started) * (1 / part - 1) / 60
            say(f"episode {k} of {self.n}: {what} on disk; about {left_min:.0f} min left")

    def _keep(self, k: int, campaign: Campaign, seconds: float) -> None:
        ledger, script = campaign.ledger, campaign.script
        counts, brought = ledger.counts(), dict(campaign.faults.brought)
        n, seed = len(script.faults), script.seed
        episode = Episode(k, seed, n, seconds, counts, brought, ledger.clean)
        self.played.append(episode)
        with self.record.open("ab") as record:
            record.write(msgspec.json.encode(episode) + b"\n")
        say(self.table())

    def table(self) -> str:
        """A line an episode, and their sum."""
        names = list(Ledger().counts())
        head = f"{'seed':>10} {'faults':>7} {'min':>6} " + " ".join(f"{n:>12}" for n in names)
        lines, total, faults, seconds = [head], Counter[str](), 0, 0.0
        for e in self.played:
            lines.append(_line(str(e.seed), e.faults, e.seconds, e.counts, names))
            total.update(e.counts)
            faults, seconds = faults + e.faults, seconds + e.seconds
        return "\n".join([*lines, _line("all", faults, seconds, total, names)])


def _line(seed: str, faults: int, seconds: float, counts: dict[str, int], names: list[str]) -> str:
    numbers = " ".join(f"{counts.get(name, 0):12,}" for name in names)
    return f"{seed:>10} {faults:7,} {seconds / 60:6.1f} {numbers}"


def main() -> None:
    """Play a season; exit code 1 where anything was found."""
    words = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    record = words.record or Path(tempfile.gettempdir()) / f"campaign-{words.seed}.jsonl"
    if record.exists() and not words.resume and words.episode is None:
        raise SystemExit(f"{record} is there: --resume goes on, another --seed begins anew")
    say(f"seed {words.seed}; record {record}")
    with tempfile.TemporaryDirectory() as folder:
        say_missing(impossible(Path(folder)))
    season = Season(words, record)
    clean = season.play()
    kinds = sum((Counter(e.brought) for e in season.played), Counter[str]())
    say("\n".join(f"  {kind:32} {n:5}" for kind, n in sorted(kinds.items())))
    say(season.table())
    raise SystemExit(not clean)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Faults by chance, and a ledger at the end.")
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--episode-frames", type=int, default=100_000)
    parser.add_argument("--resume", action="store_true", help="go on behind the last episode")
    parser.add_argument("--episode", type=int, help="only this one, again")
    parser.add_argument("--record", type=Path, help="a line of JSON an episode")
    parser.add_argument("--only", action="append", default=[], help="only this kind of fault")
    parser.add_argument("--protection", default="whole", help="what is taken away (role.py)")
    parser.add_argument("--stalled", type=float, default=STALLED_S, help="seconds without a frame")
    parser.add_argument("--patience", type=float, default=PATIENT_S, help="of faults, in seconds")
    return parser


if __name__ == "__main__":
    main()
