"""The last steps of every import: the check input, the hashes, the bundle, the store."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from model_store import manifest as manifests
from model_store.bundle import Bundle, Check, check_bytes, open_bundle
from model_store.manifest import CHECK, MANIFEST, MODEL, Manifest, Origin, sha256_of
from model_store.runtime import CHECK_TOLERANCE, Session
from model_store.store import Store
from trainer.check_input import check_structures
from trainer.importers.grid import require_near_edge
from xas.descriptor import Descriptor
from xas.errors import BadModel

F32 = NDArray[np.float32]
Answer = tuple[F32, F32, F32]
Original = Callable[[F32], NDArray[np.floating]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A model of another program as a graph of ours.

    manifest  all but the hashes of its files
    model     the ONNX file: features -> mean, std, novelty
    original  spectra (n, n_energy) by the other program's own arithmetic from features (n,
              n_features) float32; None where there is nothing but the graph
    """

    manifest: Manifest
    model: bytes
    original: Original | None = None


def origin_of(program: str, files: Mapping[str, Path], command: str, *versions: str) -> Origin:
    """Where a model comes from: the hashes of its files, and the programs (distributions) used."""
    return Origin(
        program=program,
        files={name: sha256_of(path) for name, path in files.items()},
        command=command,
        date=datetime.now(UTC).date().isoformat(),
        versions={name: metadata.version(name) for name in ("numpy", "onnx", *versions)},
    )


def put_imported(imported: Imported, store: Store) -> Bundle:
    """Write the bundle, try it, and put it into the store as the next version of its name.

    Nothing is stored unless the graph loads, answers the check structures with finite numbers,
    row by row as all together, and as the original does (to 1e-4 of the largest value).

    Raises BadModel otherwise.
    """
    with tempfile.TemporaryDirectory(prefix="edgestream-import-") as scratch:
        bundle = write_bundle(imported, Path(scratch))
        version = store.put(bundle.folder)
    return store.get(f"{bundle.manifest.name}@{version}")


def write_bundle(imported: Imported, folder: Path) -> Bundle:
    """The bundle of an import in an empty folder; BadModel as ``put_imported`` says."""
    draft = imported.manifest
    manifests.validate_content(draft, draft.name)
    require_near_edge(draft.output.energy_ev, draft.element, draft.edge)
    (folder / MODEL).write_bytes(imported.model)
    files = {MODEL: sha256_of(folder / MODEL)}
    session = Session(Bundle(folder, msgspec.structs.replace(draft, files=files)))
    check, difference = _check(imported, session)
    (folder / CHECK).write_bytes(check_bytes(check))
    files[CHECK] = sha256_of(folder / CHECK)
    if draft.origin is not None:
        origin = msgspec.structs.replace(draft.origin, difference=difference)
        draft = msgspec.structs.replace(draft, origin=origin)
    manifest = msgspec.structs.replace(draft, files=files)
    (folder / MANIFEST).write_bytes(manifests.encode(manifest))
    return open_bundle(folder)


def _check(imported: Imported, session: Session) -> tuple[Check, float | None]:
    manifest = imported.manifest
    batch, sites = check_structures(manifest.element)
    features = Descriptor(manifest.descriptor).featurise(batch, sites).values.astype(np.float32)
    if not features.any():
        raise BadModel(
            f"{manifest.name}: its descriptor sees no neighbour of {manifest.element} in two "
            f"molecules (cutoff {manifest.descriptor.cutoff_angstrom:g}): is it in angstrom?"
        )
    answer = _answer(session, features)
    rows = [_answer(session, row[None]) for row in features]
    for k, name in enumerate(("mean", "std", "novelty")):
        _require_good(manifest.name, name, answer[k])
        alone = np.concatenate([row[k] for row in rows])
        if _distance(alone, answer[k]) > CHECK_TOLERANCE:
            raise BadModel(
                f"{manifest.name}: {name} of a site depends on what else is in the batch, or on "
                "chance: export the model for inference (no batch statistics, no dropout)"
            )
    difference = _difference(imported, features, answer[0])
    return Check(batch, sites, *answer), difference


def _answer(session: Session, features: F32) -> Answer:
    manifest = session.bundle.manifest
    try:
        mean, std, novelty = session.run(features)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's own classes are not public
        reason = str(error).splitlines()[0][:200]
        raise BadModel(f"{manifest.name}: ONNX Runtime cannot compute it: {reason}") from None
    n, n_energy = len(features), len(manifest.output.energy_ev)
    if not mean.shape == std.shape == (n, n_energy) or novelty.shape != (n,):
        raise BadModel(
            f"{manifest.name}: {n} sites give mean {mean.shape}, std {std.shape}, novelty "
            f"{novelty.shape}, but the grid has {n_energy} energies"
        )
    return mean, std, novelty


def _require_good(model: str, name: str, values: F32) -> None:
    if not np.isfinite(values).all():
        raise BadModel(
            f"{model}: {name} of the check structures is not finite: the weights or the scaling "
            "are damaged; export the model again"
        )
    if name != "mean" and (values < 0.0).any():
        raise BadModel(f"{model}: {name} is negative for the check structures; it must not be")


def _difference(imported: Imported, features: F32, mean: F32) -> float | None:
    if imported.original is None:
        return None
    original = np.asarray(imported.original(features), dtype=np.float64).reshape(len(features), -1)
    if original.shape != mean.shape or _distance(mean, original) > CHECK_TOLERANCE:
        raise BadModel(
            f"{imported.manifest.name}: the graph does not give what the original gives for the "
            "same features; this is a defect of the import: please report it"
        )
    return float(np.abs(mean - original).max())


def _distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    return float(np.abs(a - b).max() / max(1.0, float(np.abs(b).max())))
