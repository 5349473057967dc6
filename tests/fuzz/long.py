"""The long form: make fuzz. Guided by coverage, slice by slice, with a table at the end.

What escaped lies in ``.fuzz/escapes`` with its input; to see one again: --again FILE. What was done
is added to ``.fuzz/record.jsonl``, a line a slice. --table prints ``tests/fuzz/record.jsonl``: what
was done so far, to which a campaign's lines are added by hand.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import record
from slices import PATHS, ROOT, Count, run_slice

FIGURES = ("inputs", "refused", "contained", "escaped", "cpu_s")


def main() -> None:
    """See the module; ends with 1 where anything escaped."""
    words = _parser().parse_args()
    if words.table:
        print(record.table(record.read(words.record or record.PATH)))  # noqa: T201
        return
    sys.path += map(str, PATHS)
    if words.again:
        for path in words.again:
            look_again(path)
        return
    from targets import TARGETS

    print(f"seed {words.seed}")  # noqa: T201
    counts = [fuzz(name, words) for name in TARGETS if name.startswith(words.target)]
    show(_sum("all", counts))
    sys.exit(any(count.escaped for count in counts))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="", help="only those whose name begins so")
    parser.add_argument("--runs", type=int, default=60_000, help="inputs for each")
    parser.add_argument("--slice", type=int, default=30_000, help="inputs for one process")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument("--blind", action="store_true", help="without atheris")
    parser.add_argument("--kept", type=Path, default=ROOT / ".fuzz", help="corpus and escapes")
    parser.add_argument("--record", type=Path, help="what was done; .fuzz/record.jsonl")
    parser.add_argument("--table", action="store_true", help="only print what was done so far")
    parser.add_argument("--again", type=Path, nargs="+", help="kept inputs, in this process")
    return parser


def fuzz(name: str, words: argparse.Namespace) -> Count:
    """Slices of one target until it had its inputs: a slice may end early, by what it was given."""
    counts: list[Count] = []
    corpus = None if words.blind else words.kept / "corpus" / name
    seed = words.seed
    while (left := words.runs - sum(count.inputs for count in counts)) > 0:
        commit = record.commit_here()  # before: it may change while a slice runs
        count = run_slice(name, min(left, words.slice), seed, words.kept / "escapes", corpus)
        record.add(
            words.record or words.kept / "record.jsonl", count, seed, commit, guided=not words.blind
        )
        counts.append(count)
        if not count.inputs:
            break  # what is known already ends it
        seed += 1
    total = _sum(name, counts)
    show(total)
    return total


def _sum(name: str, counts: list[Count]) -> Count:
    return Count(target=name, **{k: sum(getattr(c, k) for c in counts) for k in FIGURES})


def show(count: Count) -> None:
    """One row of the table."""
    print(  # noqa: T201
        f"{count.target:24} {count.inputs:9,} inputs {count.refused:9,} refused "
        f"{count.contained:4} contained {count.escaped:4} escaped {count.cpu_s:7.0f} s",
        flush=True,
    )


def look_again(path: Path) -> None:
    """A kept input, which raises or dies as it did, unless that is mended."""
    from targets import TARGETS

    from xas.errors import EdgestreamError

    name = path.name.rpartition("-")[0]
    with tempfile.TemporaryDirectory() as folder:
        try:
            TARGETS[name](Path(folder)).look(path.read_bytes())
            print(f"{path.name}: returned")  # noqa: T201
        except EdgestreamError as error:
            print(f"{path.name}: {type(error).__name__}: {error}")  # noqa: T201


if __name__ == "__main__":
    main()
