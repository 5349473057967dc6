"""From structures to spectra: one path for the stream, the command line and Python."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Bundle
from model_store.manifest import encode
from model_store.runtime import Session
from stream.codec import Array
from stream.messages import ModelRecord
from xas.descriptor import Descriptor, Features
from xas.edges import atomic_number, element_symbol
from xas.errors import BadModel, WorkerUnfit
from xas.faults import CheckedStructures
from xas.structure import Sites, StructureBatch, sites_of_element

TOO_CLOSE_ANGSTROM = 0.2  # no bond is shorter than 0.7: two atoms lie on one another


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Spectra of the sites that have one, and why the other structures have none.

    sites in the order of structures; intensity, errors (n_sites, n_energy) float32, one standard
    deviation, on the scale of the training spectra; novelty (n_sites,) float32; reasons: structure
    -> why it has no spectrum; featurise_s, infer_s: seconds in the descriptor and in the network.
    """

    sites: Sites
    intensity: NDArray[np.float32]
    errors: NDArray[np.float32]
    novelty: NDArray[np.float32]
    reasons: dict[int, str]
    featurise_s: float = 0.0
    infer_s: float = 0.0


class Predictor:
    """One model, loaded and ready; the same numbers whatever else is in the batch (to 1e-6)."""

    def __init__(self, bundle: Bundle, *, device: str = "cpu") -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self._descriptor = Descriptor(bundle.manifest.descriptor)
        self._session = Session(bundle, device=device)
        self._element = atomic_number(bundle.manifest.element)

    @cached_property
    def identity(self) -> str:
        """By what results name this model: the SHA-256 of its manifest, which covers every file.

        Two versions with the same network but different words about it are two models.
        """
        return hashlib.sha256(encode(self.manifest)).hexdigest()

    def record(self) -> ModelRecord:
        """What a writer must know of it."""
        manifest = self.manifest
        return ModelRecord(
            name=manifest.name,
            version=manifest.version,
            sha256=self.bundle.sha256,
            element=manifest.element,
            edge=manifest.edge,
            descriptor=json.dumps(manifest.input.descriptor),
            provider=self.provider,
            energy=Array.of(self.energy),
            has_errors=manifest.output.errors != "none",
            has_novelty=manifest.output.novelty != "none",
        )

    @cached_property
    def output(self) -> tuple[str, str, bytes]:
        """Element, edge and energy grid: what all models of one run have in common."""
        return self.manifest.element, self.manifest.edge, self.energy.tobytes()

    def require_same_output(self, other: Predictor) -> None:
        """BadModel, naming what differs, where its spectra cannot stand beside the other's."""
        mine, theirs = self.manifest, other.manifest
        if self.output[:2] != other.output[:2]:
            raise BadModel(
                f"{mine.reference} predicts {mine.element} {mine.edge}-edges, {theirs.reference} "
                f"{theirs.element} {theirs.edge}-edges"
            )
        if self.output != other.output:
            raise BadModel(
                f"{mine.reference} predicts {_grid(self.energy)}, {theirs.reference} "
                f"{_grid(other.energy)}"
            )

    @property
    def energy(self) -> NDArray[np.float64]:
        """(n_energy,) float64, eV."""
        return np.asarray(self.manifest.output.energy_ev, dtype=np.float64)

    @property
    def provider(self) -> str:
        """The execution provider that is active."""
        return self._session.provider

    def predict(
        self, batch: StructureBatch, sites: Sites | None = None, absorber: str | None = None
    ) -> Prediction:
        """Spectra of ``sites``, by default of all atoms of the model's element.

        A structure with a fault gets a reason and none of its sites a spectrum; the others of the
        batch never notice.
        """
        began = time.perf_counter()
        checked = CheckedStructures(batch, self._descriptor.spec.cutoff_angstrom)
        reasons = dict(checked.faults)
        if sites is None:
            sites = sites_of_element(batch, self._element)
        self._check_absorbers(batch, sites, absorber, reasons)
        sites = _without(sites, reasons)
        values = np.empty((len(sites), self._descriptor.n_features), dtype=np.float32)
        features = self._descriptor.featurise(checked, sites, out=values)
        self._name_impossible(sites, features, reasons)
        featurised = time.perf_counter()
        mean, std, novelty = self._session.run(values)
        inferred = time.perf_counter()
        if not (np.isfinite(mean).all() and np.isfinite(std).all()):
            finite = np.isfinite(mean).all(axis=1) & np.isfinite(std).all(axis=1)
            for k in np.flatnonzero(~finite):
                reasons.setdefault(int(sites.structure[k]), "the model's answer is not finite")
        if reasons and not (keep := _good(sites, reasons)).all():
            sites, mean, std, novelty = _select(sites, keep), mean[keep], std[keep], novelty[keep]
        return Prediction(
            sites=sites,
            intensity=mean,
            errors=std,
            novelty=novelty,
            reasons=reasons,
            featurise_s=featurised - began,
            infer_s=inferred - featurised,
        )

    def _name_impossible(self, sites: Sites, features: Features, reasons: dict[int, str]) -> None:
        """Absorbers that nothing surrounds, or that something lies upon: wrong units, mostly."""
        closest, cutoff = features.closest, self._descriptor.spec.cutoff_angstrom
        for k in np.flatnonzero((closest < TOO_CLOSE_ANGSTROM) | (closest > cutoff)):
            where = f"atom {sites.atom[k]}; are the positions in angstrom?"
            fault = f"two atoms lie {closest[k]:.2g} angstrom apart near {where}"
            if closest[k] > cutoff:
                fault = f"no other atom within {cutoff:g} angstrom of {where}"
            reasons.setdefault(int(sites.structure[k]), fault)

    def _check_absorbers(
        self, batch: StructureBatch, sites: Sites, absorber: str | None, reasons: dict[int, str]
    ) -> None:
        model = f"{self.manifest.name} predicts {self.manifest.element} {self.manifest.edge}-edges"
        if absorber is not None and absorber != self.manifest.element:
            for i in range(len(batch)):
                reasons.setdefault(i, f"absorber {absorber} was asked for; {model}")
            return
        numbers = batch.numbers[batch.offsets[sites.structure] + sites.atom]
        for k in np.flatnonzero(numbers != self._element):
            reasons.setdefault(
                int(sites.structure[k]),
                f"atom {sites.atom[k]} is {element_symbol(int(numbers[k]))}; {model}",
            )
        n_sites = np.bincount(sites.structure, minlength=len(batch))
        for i in np.flatnonzero(n_sites == 0).tolist():
            reasons.setdefault(i, f"no {self.manifest.element} atom in it; {model}")

    def check(self) -> None:
        """Predict the model's own check input; WorkerUnfit where the answer is another."""
        check = self.bundle.check()
        try:
            features = self._descriptor.featurise(check.batch, check.sites)
            fault = self._session.check_fault(features.values, check)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not a frame's fault
            fault = f"the check input fails with {type(error).__name__}: {error}"
        if fault is not None:
            raise WorkerUnfit(
                f"model {self.bundle.reference}: {fault}: this worker or this copy of the model is "
                "at fault, not the frames"
            )


def _grid(energy: NDArray[np.float64]) -> str:
    return f"{len(energy)} energies from {energy[0]:g} to {energy[-1]:g} eV"


def _without(sites: Sites, reasons: dict[int, str]) -> Sites:
    return _select(sites, _good(sites, reasons)) if reasons else sites


def _good(sites: Sites, reasons: dict[int, str]) -> NDArray[np.bool_]:
    good: NDArray[np.bool_] = ~np.isin(sites.structure, list(reasons))
    return good


def _select(sites: Sites, keep: NDArray[np.bool_]) -> Sites:
    return Sites(sites.structure[keep], sites.atom[keep])
