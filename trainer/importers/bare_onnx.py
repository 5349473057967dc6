"""An ONNX file and a manifest written by hand, as a bundle of ours."""

from __future__ import annotations

from pathlib import Path

import msgspec

from model_store.manifest import Evidence, Manifest, Origin
from trainer.importers.extras import require_onnx
from trainer.importers.hand_written import CREDIT, read_draft
from trainer.importers.imported import Imported, Original, origin_of
from xas.errors import BadModel


def import_onnx(model: Path, manifest: Path, command: str = "") -> Imported:
    """The model of an ONNX file; what goes in and comes out is checked against the manifest.

    Raises BadModel for a file outside the limits of ``onnx_limits``, and where file and manifest
    disagree; Reject where the onnx package is missing.
    """
    require_onnx()
    draft = read_draft(manifest)
    try:
        data = model.read_bytes()
    except OSError as error:
        raise BadModel(f"{model}: cannot be read ({error.strerror})") from None
    origin = origin_of("an ONNX file", {path.name: path for path in (model, manifest)}, command)
    return imported_of(data, draft, origin, str(model))


def imported_of(
    data: bytes, draft: Manifest, origin: Origin, where: str, original: Original | None = None
) -> Imported:
    """An ONNX file with our ends, and its manifest with where it comes from; BadModel else."""
    from trainer.importers.onnx_contract import conform
    from trainer.importers.onnx_limits import load_within_limits

    loaded = load_within_limits(data, where)
    n_energy = len(draft.output.energy_ev)
    conformed = conform(loaded, draft.descriptor.n_features, n_energy, where)
    _require_honest(draft, conformed.gives, where)
    producer = " ".join([loaded.producer_name, loaded.producer_version]).strip()
    found = {"producer": producer[:200]} if producer else {}
    manifest = msgspec.structs.replace(draft, origin=_credited(origin, draft.origin, found))
    return Imported(manifest=manifest, model=conformed.model, original=original)


def _credited(origin: Origin, written: Origin | None, found: dict[str, str]) -> Origin:
    """What was found, with what somebody wrote down."""
    credit = {key: told for key in CREDIT if (told := getattr(written, key, ""))}
    return msgspec.structs.replace(origin, settings=origin.settings | found, **credit)


def _require_honest(draft: Manifest, gives: frozenset[str], where: str) -> None:
    said: dict[str, Evidence] = {"std": draft.output.errors, "novelty": draft.output.novelty}
    for name, evidence in said.items():
        key = "errors" if name == "std" else name
        if evidence != "none" and name not in gives:
            raise BadModel(
                f'{where}: the manifest says output.{key} "{evidence}", but the graph does not '
                f'give {name}: say "none", or export it too'
            )
        if evidence == "none" and name in gives:
            raise BadModel(
                f"{where}: the graph gives {name}: say in the manifest what it is, output.{key} "
                '"calibrated" (then with calibration: how) or "uncalibrated"'
            )
