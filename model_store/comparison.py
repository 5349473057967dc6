"""Two versions side by side: manifests, features, measures, and what they predict."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from model_store.bundle import Bundle, Check
from model_store.manifest import CHECK, Manifest, Measures
from model_store.runtime import Session
from xas.descriptor import Descriptor

Array = NDArray[np.float64]
# what has a comparison of its own, or differs always
_ELSEWHERE = ("files", "quality", "version", "input", "output")


class Difference(Struct, frozen=True):
    """A value of which the two have different ones; None: it has none."""

    key: str
    a: Any
    b: Any


class Judgement(Struct, frozen=True):
    """A row of the table of measures in both: medians, percent; None: it has none."""

    model: str
    split: str
    broadened: bool
    a: Measures | None
    b: Measures | None


class Answers(Struct, frozen=True):
    """Both models on the check input of ``a`` or of ``b``, where their energies overlap.

    distance_percent  median over sites of 100 sum|a - b| / sum(a)
    largest           largest |a - b|, of the unit of the spectra, and where: energy_ev
    in_deviations     median of |a - b| over the standard deviation that ``a`` gives
    novelty_a, novelty_b  medians
    """

    check_input: str
    n_sites: int
    n_energies: int
    distance_percent: float
    largest: float
    energy_ev: float
    in_deviations: float
    novelty_a: float
    novelty_b: float


class Comparison(Struct, frozen=True):
    """``answers`` is empty where ``incomparable`` says why."""

    a: str
    b: str
    same_network: bool
    manifest: list[Difference]
    features: list[Difference]
    output: list[Difference]
    measures: list[Judgement]
    answers: list[Answers]
    incomparable: str = ""


def compare(a: Bundle, b: Bundle) -> Comparison:
    """How two versions differ. Raises BadModel for one that cannot run."""
    first, second = a.manifest, b.manifest
    reason = _incomparable(first, second)
    return Comparison(
        a=a.reference,
        b=b.reference,
        same_network=a.sha256 == b.sha256,
        manifest=_differences(_rest(first), _rest(second)),
        features=_differences(_features(first), _features(second)),
        output=_differences(_output(first), _output(second)),
        measures=_judgements(first, second),
        answers=[] if reason else _answers(a, b),
        incomparable=reason,
    )


def _incomparable(a: Manifest, b: Manifest) -> str:
    if type(a.input) is not type(b.input):
        return "they take different kinds of input"
    if (a.element, a.edge) != (b.element, b.edge):
        return f"one predicts {a.element} {a.edge}, the other {b.element} {b.edge}"
    if len(_common(a, b)) < 2:
        return "their energies do not overlap"
    return ""


def _rest(manifest: Manifest) -> dict[str, Any]:
    plain = msgspec.to_builtins(manifest)
    return {key: value for key, value in plain.items() if key not in _ELSEWHERE}


def _features(manifest: Manifest) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(manifest.input)
    return plain | {"n_features": manifest.descriptor.n_features}


def _output(manifest: Manifest) -> dict[str, Any]:
    energy = manifest.output.energy_ev
    return {
        "unit": manifest.output.unit,
        "n_energies": len(energy),
        "first_ev": energy[0],
        "last_ev": energy[-1],
    }


def _differences(a: dict[str, Any], b: dict[str, Any]) -> list[Difference]:
    flat_a, flat_b = dict(_flat("", a)), dict(_flat("", b))
    keys = dict.fromkeys([*flat_a, *flat_b])
    return [
        Difference(key, flat_a.get(key), flat_b.get(key))
        for key in keys
        if flat_a.get(key) != flat_b.get(key)
    ]


def _flat(start: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [pair for key, inner in value.items() for pair in _flat(f"{start}{key}.", inner)]
    return [(start.rstrip("."), value)]


def _judgements(a: Manifest, b: Manifest) -> list[Judgement]:
    """Own rows of both beside each other, and those that both have of others."""
    rows_a, rows_b = _rows(a), _rows(b)
    return [
        Judgement(*key, a=rows_a.get(key), b=rows_b.get(key))
        for key in dict.fromkeys([*rows_a, *rows_b])
    ]


def _rows(manifest: Manifest) -> dict[tuple[str, str, bool], Measures]:
    own = {manifest.name: "itself"}
    return {(own.get(q.model, q.model), q.split, q.broadened): q for q in manifest.quality}


def _common(a: Manifest, b: Manifest) -> Array:
    """The energies of ``a`` within those of ``b``, eV."""
    energy = np.asarray(a.output.energy_ev)
    low, high = b.output.energy_ev[0], b.output.energy_ev[-1]
    return energy[(energy >= low) & (energy <= high)]


def _answers(a: Bundle, b: Bundle) -> list[Answers]:
    models = [_Model(a), _Model(b)]
    checks = {"a": a.check()}
    if b.content(CHECK) != a.content(CHECK):
        checks["b"] = b.check()
    energy = _common(a.manifest, b.manifest)
    return [_answer(whose, check, models, energy) for whose, check in checks.items()]


class _Model:
    """A bundle that predicts sites."""

    def __init__(self, bundle: Bundle) -> None:
        self._energy = np.asarray(bundle.manifest.output.energy_ev)
        self._descriptor = Descriptor(bundle.manifest.descriptor)
        self._session = Session(bundle)

    def __call__(self, check: Check, energy: Array) -> tuple[Array, Array, Array]:
        """Mean and deviation (n_sites, n_energy) on ``energy``, novelty (n_sites,)."""
        features = self._descriptor.featurise(check.batch, check.sites).values
        mean, std, novelty = self._session.run(features.astype(np.float32))
        on_grid = [
            np.array([np.interp(energy, self._energy, row) for row in v]) for v in (mean, std)
        ]
        return on_grid[0], on_grid[1], novelty.astype(np.float64)


def _answer(whose: str, check: Check, models: list[_Model], energy: Array) -> Answers:
    (mean_a, std_a, novelty_a), (mean_b, _, novelty_b) = (m(check, energy) for m in models)
    apart = np.abs(mean_a - mean_b)
    scale = np.maximum(np.abs(mean_a).sum(axis=1), 1e-12)
    worst = np.unravel_index(int(apart.argmax()), apart.shape)
    return Answers(
        check_input=whose,
        n_sites=len(apart),
        n_energies=len(energy),
        distance_percent=float(np.median(100.0 * apart.sum(axis=1) / scale)),
        largest=float(apart.max()),
        energy_ev=float(energy[worst[1]]),
        in_deviations=float(np.median(apart / np.maximum(std_a, 1e-12))),
        novelty_a=float(np.median(novelty_a)),
        novelty_b=float(np.median(novelty_b)),
    )
