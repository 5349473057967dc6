"""``edgestream bench``: a tiny run of real parts gives every figure; no test looks at how fast."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import call, complaint

from edgestream.bench.processes import cpu_of, cpu_of_this_thread, memory_bytes
from edgestream.bench.profile import own_functions
from edgestream.bench.request import Request
from edgestream.bench.sampling import Figure, cpu_seconds
from edgestream.bench.structures import complexes, condensed, movie
from edgestream.bench.targets import KEYS, TARGETS, Target, missed

ROOT = Path(__file__).parents[2]
TINY = ("--quick", "--frames", 200, "--quiet")


def figures_of(*words: object) -> dict[str, float]:
    found: dict[str, float] = json.loads(call("bench", *words, *TINY, "--json").stdout)
    return found


def assert_figures(found: dict[str, float], keys: list[str]) -> None:
    for key in keys:
        assert 0 < found[f"{key}_min"] <= found[key] <= found[f"{key}_max"], key


@pytest.mark.processes
def test_a_tiny_pipeline_tells_what_each_process_used(tmp_path: Path) -> None:
    found = figures_of("pipeline", "--folder", tmp_path)
    roles = ("producer", "server", "worker_0", "writer", "all", "predict")
    assert_figures(found, ["pipeline_cpu_ratio", "pipeline_frames_per_s"])
    assert_figures(found, [f"pipeline_us_{role}" for role in roles])
    parts = sum(found[f"pipeline_us_{role}"] for role in roles[:4])
    assert parts == pytest.approx(found["pipeline_us_all"])
    assert "200 frames" in found["used"]["pipeline"]  # type: ignore[index]
    assert not [*tmp_path.iterdir()]


@pytest.mark.processes
def test_latency_counts_from_when_a_frame_was_due() -> None:
    found = figures_of("latency")
    for load in ("tenth", "half", "nine_tenths"):
        for what in ("sent", "result", "disk", "file"):
            assert_figures(found, [f"latency_{what}_p{p}_ms_{load}_load" for p in (50, 99)])


@pytest.mark.processes
def test_scaling_and_growth_are_measured_on_real_workers() -> None:
    found = figures_of("scaling", "growth")
    assert_figures(found, ["scaling_2_workers", "scaling_by_cpu", "growth_cpu_ratio"])
    assert_figures(
        found, ["memory_mb_producer_4000", "memory_mb_worker_0_200", "growth_further_us_4000"]
    )


@pytest.mark.processes
def test_what_one_process_can_measure_says_on_which_machine() -> None:
    found = figures_of("kernel", "predict", "reading", "start")
    assert_figures(
        found, ["kernel_us_44", "kernel_us_89", "predict_us_ensemble", "read_text_frames_per_s"]
    )
    assert found["kernel_max_relative_error"] < 1e-10
    assert {"cpu", "cores", "instruction_sets", "versions", "date", "load_average"} <= {
        *found["machine"]  # type: ignore[misc]
    }


@pytest.mark.processes
def test_a_missed_target_fails_the_check_with_a_line_of_its_own() -> None:
    words = ("bench", "kernel", *TINY, "--check", "--target")
    done = call(*words, "kernel_max_relative_error=0", "--target", "kernel_us_44=1e9", code=1)
    lines = [line for line in done.stderr.splitlines() if line.startswith("kernel_max")]
    assert len(lines) == 1
    assert "at most 0" in lines[0]
    assert "kernel_us_44:" not in done.stderr


def test_what_cannot_be_measured_is_refused_by_name() -> None:
    assert "pipeline" in complaint("bench", "pipelines")
    assert "kernel_us_44" in complaint("bench", "kernel", "--target", "kernel_us=3")
    assert "no folder" in complaint("bench", "pipeline", "--folder", "/nowhere")
    assert "README.md" in complaint("bench", "kernel", "--data", "/nowhere")


def test_without_the_data_structures_are_made_and_said_to_be() -> None:
    made, liquid, film = complexes(None), condensed(), movie(None)
    assert "made, seeded" in made.name
    assert "made, seeded" in liquid.name
    assert "shipped demo" in film.name
    sizes = [structure.n_atoms for structure in made.structures]
    assert (min(sizes), max(sizes)) == (44, 56)
    assert sum(map(len, film.repeated(1001))) == 1001


def test_a_missed_limit_is_one_line_and_a_kept_one_none() -> None:
    figures = {
        "fast": Figure.of([1.0, 2.0, 3.0]),
        "rate": Figure.of([5.0]),
    }
    limits = {"fast": Target("at most", 2.0), "rate": Target("at least", 6.0)}
    (line,) = missed(figures, limits)
    assert line == "rate: 5 (5 to 5), asked for: at least 6"


def test_every_key_that_programs_rely_on_is_measured_by_some_section() -> None:
    source = "".join(p.read_text() for p in (ROOT / "edgestream" / "bench").glob("*.py"))
    for key in (*KEYS, *TARGETS):
        stem = key.rstrip("0123456789").removesuffix("_p99_ms_half_load")
        assert stem.removesuffix("_").rpartition("_")[0] in source, key


def test_cpu_time_of_a_process_is_what_it_worked_not_how_long_it_was_there() -> None:
    code = "import time; sum(range(10**6)); print(time.process_time(), flush=True); time.sleep(30)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        said = float(child.stdout.readline())
        seen = cpu_of(child.pid)
        assert said <= seen.total_s < said + 0.1
        assert 0 <= seen.user_s <= seen.total_s
        assert memory_bytes(child.pid) > 2**20
    finally:
        child.kill()
        child.communicate()


def test_samples_are_cpu_time_per_call() -> None:
    before = cpu_of_this_thread()
    figure = cpu_seconds(lambda: sum(range(10_000)), repeat=3, least_s=0.005)
    used = cpu_of_this_thread() - before
    assert figure.samples == 3
    assert 0 < 3 * figure.min < used.total_s


def test_a_profile_names_the_innermost_function_of_ours() -> None:
    worker = ROOT / "workers" / "worker.py"
    stacks = f"main ({ROOT}/edgestream/cli.py);step ({worker});recv (socket.py) 3\nx (y.py) 2\n"
    assert own_functions(stacks) == {"workers/worker.py step": 3, "(outside)": 2}


def test_quick_is_little_and_long_is_a_million_frames() -> None:
    request = Request()
    assert request.quick().frames < request.frames
    assert request.long().growth[-1] == request.long().backfill == 1_000_000
