"""What is asked of the figures.

The limits are those of the project's plan ("At the speed limit"), for one core of a 2020s server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edgestream.bench.sampling import Figure

Bound = Literal["at most", "at least"]


@dataclass(frozen=True, slots=True)
class Target:
    """A limit for one figure's median."""

    bound: Bound
    limit: float

    def met_by(self, figure: Figure) -> bool:
        """Whether the median keeps the limit."""
        if self.bound == "at most":
            return figure.median <= self.limit
        return figure.median >= self.limit


TARGETS: Mapping[str, Target] = {
    "kernel_us_44": Target("at most", 10.0),
    "kernel_us_89": Target("at most", 25.0),
    "kernel_max_relative_error": Target("at most", 1e-10),
    "neighbours_share_44": Target("at most", 1 / 3),
    "neighbours_share_89": Target("at most", 1 / 3),
    "neighbours_share_1000": Target("at most", 1 / 3),
    "neighbours_share_100000": Target("at most", 1 / 3),
    "predict_us_single": Target("at most", 20.0),
    "predict_us_ensemble": Target("at most", 100.0),
    "pipeline_cpu_ratio": Target("at most", 2.0),
    "pipeline_single_cpu_ratio": Target("at most", 2.0),
    "latency_result_p99_ms_half_load": Target("at most", 10.0),
    "fairness_result_p99_ratio": Target("at most", 2.0),
    "scaling_2_workers": Target("at least", 1.8),
    "read_text_frames_per_s": Target("at least", 20_000.0),
    "read_binary_frames_per_s": Target("at least", 20_000.0),
    "growth_cpu_ratio": Target("at most", 1.1),
    "growth_memory_ratio": Target("at most", 1.1),
    "growth_server_to_mark": Target("at most", 1.25),
    "help_cpu_ms": Target("at most", 150.0),
    "predict_cpu_ms": Target("at most", 1000.0),
    "server_up_ms": Target("at most", 100.0),
}

# what programs may rely on finding in the JSON when all sections were measured
KEYS = (
    "kernel_us_44",
    "kernel_us_89",
    "kernel_max_relative_error",
    "neighbours_us_44",
    "neighbours_us_89",
    "predict_us_single",
    "predict_us_ensemble",
    "pipeline_cpu_ratio",
    "pipeline_frames_per_s",
    "latency_result_p99_ms_half_load",
    "latency_disk_p99_ms_half_load",
    "fairness_result_p99_ratio",
    "scaling_2_workers",
    "read_text_frames_per_s",
    "help_cpu_ms",
)


def missed(figures: Mapping[str, Figure], targets: Mapping[str, Target]) -> list[str]:
    """One line a target that a measured figure misses."""
    return [
        f"{key}: {figures[key].median:.4g} ({figures[key].min:.4g} to {figures[key].max:.4g}), "
        f"asked for: {target.bound} {target.limit:.4g}"
        for key, target in targets.items()
        if key in figures and not target.met_by(figures[key])
    ]
