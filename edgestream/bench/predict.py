"""Structure to spectrum as a worker does it: features, network, checks; one core."""

from __future__ import annotations

from edgestream.bench.request import Request, Section
from edgestream.bench.sampling import Figure, cpu_seconds
from edgestream.bench.structures import IRON, Sample, complexes
from edgestream.models import load_predictor, open_store
from xas.edges import atomic_number


def measure_predict(request: Request) -> Section:
    """Microseconds an absorber of the single network and of the built-in ensemble."""
    sample = complexes(request.data)
    figures: dict[str, Figure] = {}
    used = {"predict": sample.name}
    models = {"single": single_network(request.models), "ensemble": request.model}
    for kind, model in models.items():
        used[f"predict {kind}"] = model or "no single network of Fe in the store"
        if model is not None:
            figures[f"predict_us_{kind}"] = _us_per_site(model, sample, request)
    if len(figures) == 2:
        ensemble, single = figures["predict_us_ensemble"], figures["predict_us_single"]
        figures["predict_ensemble_ratio"] = ensemble.scaled(1 / single.median)
    return Section(figures=figures, used=used)


def _us_per_site(model: str, sample: Sample, request: Request) -> Figure:
    predictor = load_predictor(model, request.models)
    return cpu_seconds(
        lambda: predictor.predict(sample.structures, sample.sites), repeat=request.samples
    ).scaled(1e6 / len(sample.sites))


def single_network(models: str | None) -> str | None:
    """A model for Fe whose ensemble has one member; None where the store has none."""
    for manifest in open_store(models).list():
        if atomic_number(manifest.element) == IRON and manifest.members == 1:
            return manifest.reference
    return None
