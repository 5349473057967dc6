"""How the live page does with a long run: how soon a viewer sees it, a zoom, memory, many viewers.

    python benchmarks/page.py --rows 1000000 --viewers 20 --folder /tmp/long

Makes a run of made rows in the folder (3.8 kB a row, kept for the next time), looks at it as it is
while it grows, and finished: starts ``edgestream dashboard`` as a process, and asks as a browser
does, over HTTP, and in Chromium where it is installed. "first" is from the opening of the stream of
events until everything of the run was there, of a page that looks at the run for the first time;
"again" that of a later viewer; "zoom" one request for a window: median and worst of 40, of any
width.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edgestream.bench.processes import cpu_of, memory_bytes
from stream.result_file.header import RunHeader
from stream.result_file.rows import Rows
from stream.result_file.run_folder import RunFolder

RUN, AT_ONCE, MIB = "long", 20_000, 2**20
PARTS = {"run", "average", "newest", "history"}
ENERGY = np.linspace(7097.0, 7172.0, 226)
SHAPE = 1.0 / (1.0 + np.exp(-(ENERGY - 7120.0) / 2.0))


def main() -> None:
    """Make the run, and print a line for each of its two states."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=Path("long-run"))
    asked = parser.parse_args()
    if (asked.folder / f"{RUN}.h5").exists():
        measure("as it is there", asked)
        return
    run = made(asked.folder, asked.rows)
    measure("growing", asked)
    run.finish(sealed=True)
    measure("finished", asked)


def measure(state: str, asked: argparse.Namespace) -> None:
    """Print a line."""
    with page(asked.folder) as (process, address):
        found = look(process, address, asked)
    print(json.dumps({"state": state, "rows": asked.rows, **found}), flush=True)


def made(folder: Path, n: int) -> RunFolder:
    """The run, written as the writer does, not finished."""
    header = RunHeader(
        run=RUN, element="Fe", edge="K", energy=ENERGY, time_units="fs", start_time=1.7e9,
        keep_structures=False,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    run = RunFolder.recover(folder, RUN, epoch=1, header=header, grace_s=0.0)
    run.add_model("fe-k", "1", "ab" * 32)
    for first in range(0, n, AT_ONCE):
        run.append(rows(first, min(AT_ONCE, n - first)))
    run.refresh(force=True)
    return run


def rows(first: int, n: int) -> Rows:
    """Spectra that drift and shake."""
    index = np.arange(first, first + n)
    random = np.random.default_rng(first)
    moved = 1.0 + 0.05 * np.sin(index / 5e4)[:, None] + random.normal(0, 0.02, (n, 1))
    values = (moved * SHAPE).astype(np.float32)
    return Rows(
        first_index=first, frame_time=index * 4.0, status=np.ones(n, np.uint8), intensity=values,
        errors=values / 20, edge_step=np.ones(n, np.float32),
        novelty=random.exponential(0.2, n).astype(np.float32), model_index=np.zeros(n, np.int16),
        t_pushed=index * 1e-3, t_predicted=index * 1e-3 + 0.01, site_frame=index,
        site_atom=np.zeros(n, np.int32), site_intensity=values, site_errors=values / 20,
    )  # fmt: skip


@contextmanager
def page(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``edgestream dashboard`` on a folder, without a server."""
    words = ["dashboard", "--out", str(folder), "--port", "0", "--redis-url", "redis://127.0.0.1:1"]
    command = [sys.executable, "-m", "edgestream", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = process.stderr.readline().split()[1]
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield process, address
        process.terminate()


def look(
    process: subprocess.Popen[str], address: str, asked: argparse.Namespace
) -> dict[str, object]:
    """What one viewer, a second one, many zooms and many viewers meet."""
    before, began = memory_bytes(process.pid), cpu_of(process.pid)
    first, n_bytes = seen(address)
    cpu = (cpu_of(process.pid) - began).total_s
    again, _ = seen(address)
    zoomed = zooms(address, asked.rows)
    zoom_cpu = (cpu_of(process.pid) - began).total_s - cpu
    found: dict[str, object] = {
        "first_s": round(first, 2),
        "again_s": round(again, 3),
        "bytes": n_bytes,
        "zoom_ms": [round(1e3 * f(zoomed), 1) for f in (statistics.median, max)],
        "zoom_cpu_ms": round(1e3 * zoom_cpu / len(zoomed), 1),
        "memory_mib": [round(before / MIB), round(memory_bytes(process.pid) / MIB)],
        "cpu_first_s": round(cpu, 2),
    }
    together = all_at_once(address, asked.viewers)
    found |= {"viewers": asked.viewers, "slowest_viewer_s": round(max(together), 2)}
    found |= {"memory_with_viewers_mib": round(memory_bytes(process.pid) / MIB)}
    return found | in_a_browser(address)


def seen(address: str) -> tuple[float, int]:
    """Seconds until a viewer has all parts of the run, and how many bytes they were."""
    began, wanted, n_bytes, kind = time.monotonic(), set(PARTS), 0, ""
    with urllib.request.urlopen(f"{address}api/events?run={RUN}", timeout=300) as stream:
        for line in stream:
            n_bytes += len(line)
            if line.startswith(b"event: "):
                kind = line[7:].strip().decode()
            if line.startswith(b"data: "):
                wanted -= {kind}
            if not wanted:
                return time.monotonic() - began, n_bytes
    raise AssertionError(f"the page ended without {wanted}")


def zooms(address: str, n: int) -> list[float]:
    """Seconds of requests for windows of any width, anywhere."""
    random, times = np.random.default_rng(1), []
    for _ in range(40):
        width = int(n ** random.uniform(0.3, 1.0))
        first = int(random.integers(0, n - width + 1))
        began = time.monotonic()
        url = f"{address}api/runs/{RUN}/window?first={first}&end={first + width}"
        with urllib.request.urlopen(url, timeout=300) as answer:
            json.load(answer)
        times.append(time.monotonic() - began)
    return times


def all_at_once(address: str, n: int) -> list[float]:
    """Seconds until each of n viewers, who come together, has seen it."""
    times: list[float] = []
    threads = [threading.Thread(target=lambda: times.append(seen(address)[0])) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def in_a_browser(address: str) -> dict[str, object]:
    """Seconds until Chromium has drawn spectrum and waterfall; nothing where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {}
    import shutil

    binary = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if binary is None:
        return {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        shown = browser.new_page()
        began = time.monotonic()
        shown.goto(f"{address}#run={RUN}")
        shown.wait_for_function("document.querySelector('#spectrum').innerText.includes('on disk')")
        shown.wait_for_function("document.querySelector('#waterfall').innerText.includes('evenly')")
        seconds = time.monotonic() - began
        browser.close()
    return {"chromium_s": round(seconds, 2)}


if __name__ == "__main__":
    main()
