"""The long form: make fuzz. Guided by coverage, slice by slice, with a table at the end.

What escaped lies in ``.fuzz/escapes`` with its input; to see one again: --again FILE.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from slices import ROOT, Count, run_slice

KEPT = ROOT / ".fuzz"


def main() -> None:
    """See the module; ends with 1 where anything escaped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="", help="only those whose name begins so")
    parser.add_argument("--runs", type=int, default=60_000, help="inputs for each")
    parser.add_argument("--slice", type=int, default=10_000, help="inputs for one process")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument("--blind", action="store_true", help="without atheris")
    parser.add_argument("--again", type=Path, help="one kept input, in this process")
    words = parser.parse_args()
    if words.again:
        look_again(words.again)
        return
    from targets import TARGETS

    print(f"seed {words.seed}")  # noqa: T201
    counts = [fuzz(name, words) for name in TARGETS if name.startswith(words.target)]
    show(Count(target="all", **{k: sum(getattr(c, k) for c in counts) for k in FIGURES}))
    sys.exit(any(count.escaped for count in counts))


FIGURES = ("inputs", "refused", "contained", "escaped")


def fuzz(name: str, words: argparse.Namespace) -> Count:
    """All slices of one target."""
    total = Count(target=name)
    corpus = None if words.blind else KEPT / "corpus" / name
    for seed in range(words.seed, words.seed + -(-words.runs // words.slice)):
        n = min(words.slice, words.runs - total.inputs)
        if n <= 0:
            break
        count = run_slice(name, n, seed, KEPT / "escapes", corpus)
        for figure in FIGURES:
            setattr(total, figure, getattr(total, figure) + getattr(count, figure))
    show(total)
    return total


def show(count: Count) -> None:
    """One row of the table."""
    print(  # noqa: T201
        f"{count.target:24} {count.inputs:9,} inputs {count.refused:9,} refused "
        f"{count.contained:4} contained {count.escaped:4} escaped",
        flush=True,
    )


def look_again(path: Path) -> None:
    """A kept input, which raises or dies as it did."""
    from targets import TARGETS

    name = path.name.rpartition("-")[0]
    with tempfile.TemporaryDirectory() as folder:
        TARGETS[name](Path(folder)).look(path.read_bytes())
    print(f"{name}: returned")  # noqa: T201


if __name__ == "__main__":
    main()
