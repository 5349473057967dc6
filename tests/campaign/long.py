"""The long campaign: ``make campaign``, or with PYTHONPATH=.:tests:tests/campaign

python tests/campaign/long.py --frames 1000000 --faults 1000 --seed 7
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from campaign import STALLED_S, impossible, play, say_missing
from script import Size, write_script

from stream.service import say


def main() -> None:
    parser = argparse.ArgumentParser(description="Faults by chance, and a ledger at the end.")
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", action="append", default=[], help="only this kind of fault")
    parser.add_argument("--protection", default="whole", help="what is taken away (role.py)")
    parser.add_argument("--spool", action="store_true", help="producers keep a spool")
    parser.add_argument("--stalled", type=float, default=STALLED_S, help="seconds without a frame")
    words = parser.parse_args()
    say(f"seed {words.seed}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="campaign-"))
    missing = impossible(folder)
    say_missing(missing)
    size = Size(words.frames, words.faults, words.runs)
    script = write_script(words.seed, size, without=list(missing), only=words.only)
    ledger = play(
        script, folder, protection=words.protection, spool=words.spool, stalled_s=words.stalled
    )
    say(f"logs, journals and files: {folder}")
    raise SystemExit(not ledger.clean)


if __name__ == "__main__":
    main()
