"""A model that XANESNET saved: its folder, read and checked, as a bundle of ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from model_store.manifest import Manifest, Origin, SpectrumOutput, StructureInput
from trainer.extra import require_extra
from trainer.importers.decoder import fourier_decoder, gaussian_decoder
from trainer.importers.dialect import WacsfParameters, dialect_of
from trainer.importers.grid import Grid, read_grid
from trainer.importers.imported import Imported, origin_of
from trainer.importers.xanesnet_folder import (
    BASIS,
    Basis,
    member_paths,
    read_basis,
    read_weights,
)
from trainer.importers.xanesnet_metadata import METADATA, Metadata, read_metadata
from xas.descriptor import DescriptorSpec
from xas.edges import atomic_number, element_symbol
from xas.errors import BadModel

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the files of a model do not say.

    energy        MIN:MAX:N or a file, eV; None: from the side file gaussian_basis.pt
    dialect       which program made it
    spin, charge  of every structure, where the model takes them as features
    unit          of the spectra it was trained on
    """

    element: str
    name: str = ""
    edge: str = "K"
    energy: str | None = None
    dialect: str = "newcastle"
    spin: float | None = None
    charge: float | None = None
    unit: str = "as the training spectra"
    summary: str = ""
    source: str = ""
    licence: str = ""
    citation: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """What the files and the request say together; ``files``: all that was read, by its name.

    fixed    the last features, the same for every structure
    decoder  (n_energy, n_outputs); None where the outputs are the spectrum
    weights  the tensors of each member
    """

    metadata: Metadata
    spec: DescriptorSpec
    fixed: tuple[float, ...]
    energy: Grid
    decoder: Array | None
    files: dict[str, Path]
    weights: dict[str, dict[str, Array]]


def import_xanesnet(folder: Path, request: Request) -> Imported:
    """The model of a folder with metadata.yaml and model_weights.pth, or model_NNN/ of them.

    Spectra are those of the original's predict mode: for an ensemble or bootstrap the mean and the
    population standard deviation over its members; coefficients of a Gaussian or Fourier basis are
    decoded inside the graph. Nothing in the folder is run.

    Raises BadModel for files that do not belong together or are not what they should be, Reject
    where the ``train`` extra is missing.
    """
    require_extra()
    model = _read(folder, request)
    from trainer.importers.original import Original  # PyTorch: not before all else is in order
    from trainer.importers.perceptron import Perceptron, to_onnx

    architecture = model.metadata.model.architecture()
    members = [
        Perceptron.of(architecture, tensors, where)
        .with_fixed_last(model.fixed)
        .decoded_by(model.decoder)
        for where, tensors in model.weights.items()
    ]
    return Imported(
        manifest=_manifest(model, request, folder.resolve().name),
        model=to_onnx(members),
        original=Original(
            [*model.weights.values()], architecture.activation, model.fixed, model.decoder
        ),
    )


def _read(folder: Path, request: Request) -> _Model:
    metadata = read_metadata(folder)
    spec = metadata.descriptors[0].spec(dialect_of(request.dialect), str(folder / METADATA))
    fixed = _fixed_features(metadata.descriptors[0], request)
    _require_width(metadata, spec.n_features + len(fixed), folder)
    basis = read_basis(folder)
    energy = _energies(folder, request, basis)
    decoder = _decoder(metadata, energy, basis, folder)
    paths = member_paths(folder, metadata)
    used = [folder / METADATA, *paths, *([folder / BASIS] if basis else [])]
    return _Model(
        metadata=metadata,
        spec=spec,
        fixed=fixed,
        energy=energy,
        decoder=decoder,
        files={path.relative_to(folder).as_posix(): path for path in used},
        weights={str(path): read_weights(path) for path in paths},
    )


def _require_width(metadata: Metadata, n_features: int, folder: Path) -> None:
    if metadata.model.in_features != n_features:
        raise BadModel(
            f"{folder / METADATA}: the network takes {metadata.model.in_features} features, its "
            f"descriptor gives {n_features}; the file was changed, or it is of a version that is "
            "not known here"
        )


def _fixed_features(parameters: WacsfParameters, request: Request) -> tuple[float, ...]:
    """Spin, then charge, at the end of the features; they are no part of a structure here."""
    fixed = []
    for name, used in (("spin", parameters.use_spin), ("charge", parameters.use_charge)):
        value: float | None = getattr(request, name)
        if used and value is None:
            raise BadModel(
                f"the model takes the {name} of each structure as a feature: give the one that "
                f"this bundle is for, --{name} NUMBER, and import it once for each {name}"
            )
        if not used and value is not None:
            raise BadModel(f"the model does not take the {name} as a feature: leave out --{name}")
        if used and value is not None:
            fixed.append(value)
    return tuple(fixed)


def _energies(folder: Path, request: Request, basis: Basis | None) -> Grid:
    if request.energy is None and basis is None:
        raise BadModel(
            f"{folder}: there is no {BASIS}, and {METADATA} does not hold the energies: give them "
            "with --energy MIN:MAX:N or --energy FILE (one a line, eV)"
        )
    given = read_grid(request.energy) if request.energy is not None else None
    if basis is None or given is None:
        return given or (basis.energy if basis else ())
    if len(given) != len(basis.energy) or np.abs(np.subtract(given, basis.energy)).max() > 0.01:
        raise BadModel(
            f"--energy ({len(given)} points, {given[0]:g} to {given[-1]:g}) contradicts {BASIS} "
            f"({len(basis.energy)} points, {basis.energy[0]:g} to {basis.energy[-1]:g}): leave out "
            "one of them"
        )
    return given


def _decoder(metadata: Metadata, energy: Grid, basis: Basis | None, folder: Path) -> Array | None:
    """(n_energy, n_outputs); None where the outputs are the spectrum."""
    targets, n, n_outputs = metadata.targets, len(energy), metadata.model.out_features
    if targets.gaussian:
        points = len(range(0, n, max(1, targets.basis_stride)))
        needed = basis.phi.shape[1] if basis else points * len(targets.widths_ev)
    else:
        needed = 2 * n if targets.fourier else n
    if needed != n_outputs:
        raise BadModel(
            f"{folder}: the network gives {n_outputs} numbers, but {n} energies need {needed}: "
            "give the grid of the training with --energy"
        )
    if targets.fourier:
        return fourier_decoder(n)
    if not targets.gaussian:
        return None
    if basis:
        return basis.phi
    return gaussian_decoder(energy, targets.widths_ev, targets.basis_stride)


def _manifest(model: _Model, request: Request, folder: str) -> Manifest:
    members, scheme = len(model.weights), model.metadata.scheme
    element = element_symbol(atomic_number(request.element))
    summary = f"{element} {request.edge}-edge XANES, imported from XANESNET ({scheme})"
    return Manifest(
        name=request.name or folder,
        element=element,
        edge=request.edge,
        summary=request.summary or summary,
        input=StructureInput(descriptor=model.spec.to_dict()),
        output=SpectrumOutput(
            energy_ev=model.energy,
            unit=request.unit,
            errors="uncalibrated" if members > 1 else "none",
            novelty="none",
        ),
        members=members,
        origin=_origin(model, request),
    )


def _origin(model: _Model, request: Request) -> Origin:
    parts = {
        "model": model.metadata.model,
        "descriptor": model.metadata.descriptors[0],
        "targets": model.metadata.targets,
    }
    said = ("dialect", "spin", "charge")
    return msgspec.structs.replace(
        origin_of("XANESNET", model.files, request.command, "torch", "PyYAML"),
        settings={
            "scheme": model.metadata.scheme,
            **{name: getattr(request, name) for name in said},
            **msgspec.to_builtins(parts),
        },
        source=request.source,
        licence=request.licence,
        citation=request.citation,
    )
