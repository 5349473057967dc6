"""One slice: a process that feeds a target and may die of it.

What it does is in a journal that outlives it: counts, and the input in hand. With ``--corpus``
atheris chooses inputs by the branches that they reach in our Python code; else they are drawn
blindly.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

from journal import Journal
from target import MAX_INPUT

PACKAGES = ("stream", "model_store", "workers", "trainer", "xas")
OURS = 97  # the fuzzer itself failed
SMALL_INPUT = 1 << 14
"""Of bytes, that atheris may make of shorter seeds: thousands of large ones would fill memory."""


class Slice:
    """Inputs one by one, each with its limits."""

    def __init__(
        self, name: str, folder: Path, journal: Journal, escapes: Path, *, guided: bool = False
    ) -> None:
        from target import CPU_S
        from targets import TARGETS

        self.name, self.journal, self.escapes = name, journal, escapes
        self.target = TARGETS[name](folder)
        self._cpu_s = CPU_S
        for seed in self.target.seeds:
            self.target.look(seed)  # seeds are accepted; what is loaded once is loaded now
        self._guided = guided
        self._peak = _peak_bytes()

    def feed(self, data: bytes) -> None:
        """One input; an escape is kept with its traceback, and the slice goes on."""
        from xas.errors import EdgestreamError

        self.journal.take(data)
        signal.setitimer(signal.ITIMER_PROF, self._cpu_s)  # its signal ends the process
        try:
            self.target.look(data)
        except EdgestreamError:
            self.journal.refused += 1
        except BaseException:  # noqa: BLE001 - every one is a find
            self._escaped(data, traceback.format_exc())
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.journal.note()
        if (peak := _peak_bytes()) > self._peak + self.target.memory_bytes:
            self._escaped(data, f"held {(peak - self._peak) >> 20} MiB more than before\n")
            self._peak = peak
            self.journal.note()
        elif self._guided:  # atheris holds more and more itself: each input for itself
            self._peak = peak

    def feed_whole(self, data: bytes) -> None:
        """An input that ended a process, to what users call; fails where that does not bear it."""
        from xas.errors import EdgestreamError

        if self.target.whole is None:
            sys.exit("nothing stands around it")
        with contextlib.suppress(EdgestreamError):
            self.target.whole(data)

    def _escaped(self, data: bytes, why: str) -> None:
        """Keep the first input of a kind: where it was raised, and what."""
        self.journal.escaped += 1
        places = [line for line in why.splitlines() if line.startswith('  File "')]
        kind = "".join(places[-2:]) + why.splitlines()[-1].split(":")[0]
        path = self.escapes / f"{self.name}-{hashlib.sha256(kind.encode()).hexdigest()[:12]}"
        if not path.exists():
            path.write_bytes(data)
            path.with_name(path.name + ".txt").write_text(why, errors="backslashreplace")


def _peak_bytes() -> int:
    """Of this program: getrusage would tell that of whoever started it, where that was more."""
    told = os.pread(_status(), 4096, 0)
    return 1024 * int(told[told.index(b"VmHWM:") + 6 :].split(None, 1)[0])


@cache
def _status() -> int:
    return os.open("/proc/self/status", os.O_RDONLY)


def _limit_memory() -> None:
    """What asks for gigabytes at once gets a MemoryError, and the machine is spared."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (held + (4 << 30), hard))


@contextlib.contextmanager
def _no_escape() -> Iterator[None]:
    """What goes wrong while an input is made is the fuzzer's own."""
    try:
        yield
    except BaseException:  # noqa: BLE001 - every one
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(OURS)


def blind(work: Slice, runs: int, seed: int) -> None:
    """Inputs that follow from the seed alone."""
    from mutation import inputs

    draw = inputs(work.target, Random(seed))
    for _ in range(runs):
        with _no_escape():
            data = draw()
        work.feed(data)


def guided(work: Slice, runs: int, seed: int, corpus: Path) -> None:
    """Inputs that follow from what earlier ones reached; does not return.

    What the corpus holds is looked at first, and not counted.
    """
    import atheris
    from mutation import changed

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        with _no_escape():
            return mutant(data, max_size, seed)

    def mutant(data: bytes, max_size: int, seed: int) -> bytes:
        rng = Random(seed)
        way = rng.random()
        if way < 0.4:  # what is damaged already is seldom well formed: half of them from a seed
            seed_or_data = rng.choice(work.target.seeds) if way < 0.2 or not data else data
            data = work.target.insane(seed_or_data, rng)[:max_size]
        if way < 0.3:
            return data
        if way < 0.6:
            return changed(data, rng, work.target)[:max_size]
        found: bytes = atheris.Mutate(data, max_size)
        return found

    corpus.mkdir(parents=True, exist_ok=True)
    for data in work.target.seeds:
        (corpus / hashlib.sha256(data).hexdigest()).write_bytes(data)
    known = [path for path in corpus.iterdir() if path.is_file()]
    work.journal.inputs = -len(known)
    longest = max(SMALL_INPUT, *(2 * len(data) for data in work.target.seeds))
    off = [f"-handle_{name}=0" for name in ("segv", "bus", "abrt", "ill", "fpe")]
    # the limit of time is ours; 0 would be one: on a loaded machine it ended whatever went on
    words = [f"-runs={runs + len(known)}", f"-seed={seed or 1}", "-timeout=1000000"]
    words += [
        f"-max_len={min(longest, MAX_INPUT)}",
        "-rss_limit_mb=0",
        "-verbosity=0",
        f"-artifact_prefix={corpus.parent}/",
        *off,
        str(corpus),
    ]
    atheris.Setup([sys.argv[0], *words], work.feed, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", help="its name, or several with commas between")
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--escapes", type=Path, required=True)
    parser.add_argument("--whole", action="store_true", help="only the input in the journal")
    parser.add_argument("--corpus", type=Path, help="guided by coverage, which is kept here")
    words = parser.parse_args()
    faulthandler.enable()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_memory())))
        journal = Journal(words.journal)
        if words.corpus and not words.whole:
            import atheris

            with atheris.instrument_imports(include=list(PACKAGES)):
                work = Slice(words.target, folder, journal, words.escapes, guided=True)
            _limit_memory()
            guided(work, words.runs, words.seed, words.corpus)
        for name in words.target.split(","):
            place = folder / name
            place.mkdir()
            work = Slice(name, place, journal, words.escapes)
            if words.whole:
                work.feed_whole(journal.in_hand)
            else:
                _limit_memory()
                blind(work, words.runs, words.seed)


def _memory() -> str | None:
    """A folder in memory, where there is one: targets write files."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    main()
