"""The sections of a bench, in the order in which they are measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from edgestream.bench.fairness import measure_fairness
from edgestream.bench.growth import measure_growth
from edgestream.bench.kernel import measure_kernel, measure_neighbours
from edgestream.bench.latency import measure_latency
from edgestream.bench.pipeline import measure_pipeline
from edgestream.bench.predict import measure_predict
from edgestream.bench.reading import measure_reading
from edgestream.bench.request import Request, Section
from edgestream.bench.scaling import measure_scaling
from edgestream.bench.start import measure_start
from edgestream.progress import Progress
from xas.errors import Reject

SECTIONS: Mapping[str, Callable[[Request], Section]] = {
    "start": measure_start,
    "kernel": measure_kernel,
    "neighbours": measure_neighbours,
    "predict": measure_predict,
    "reading": measure_reading,
    "pipeline": measure_pipeline,
    "latency": measure_latency,
    "fairness": measure_fairness,
    "scaling": measure_scaling,
    "growth": measure_growth,
}


def chosen_sections(names: Iterable[str]) -> list[str]:
    """The named sections in their order, or all; Reject for a name that is none."""
    wanted = list(names)
    unknown = [name for name in wanted if name not in SECTIONS]
    if unknown:
        raise Reject(f"bench {unknown[0]!r}: the sections are {', '.join(SECTIONS)}")
    return [name for name in SECTIONS if name in wanted or not wanted]


def measure(names: Iterable[str], request: Request, progress: Progress) -> dict[str, Section]:
    """Measure section by section."""
    chosen, measured = chosen_sections(names), {}
    for done, name in enumerate(chosen):

        def tell(line: str, done: int = done) -> None:
            progress.update(done, len(chosen), line)

        tell(name)
        measured[name] = SECTIONS[name](replace(request, tell=tell))
    return measured
