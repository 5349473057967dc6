"""A manifest written by hand: what a file of weights cannot say about itself.

The keys are those of a bundle's manifest.json. Left out is what the importer finds (format,
version, files) and what nobody knows (training, quality, calibration); ``origin`` holds program,
source, licence and citation where they are known. Shorter forms are allowed for the descriptor (a
dialect's parameters) and for ``output.energy_ev`` ("7097:7172:226", or a file).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from model_store.manifest import Manifest
from trainer.importers.dialect import spec_of
from trainer.importers.grid import read_grid
from xas.errors import BadModel

FOUND_HERE = ("format", "version", "files")
CREDIT = frozenset({"program", "source", "licence", "citation"})


def read_draft(path: Path) -> Manifest:
    """The manifest of a model that is not a bundle yet. Raises BadModel with the first fault.

    ``errors`` and ``novelty`` are "none" unless the file says what they are.
    """
    try:
        data = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise BadModel(f"{path}: cannot be read ({error.strerror}); name it: --manifest") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadModel(f"{path}: not JSON: {error}") from None
    try:
        return msgspec.convert(_complete(data, path), Manifest)
    except msgspec.ValidationError as error:
        raise BadModel(f"{path}: {error}; see docs/importing.md") from None


def _complete(data: Any, path: Path) -> dict[str, Any]:
    where = str(path)
    for key in ("input", "output"):
        if not isinstance(data, dict) or not isinstance(data.get(key), dict):
            raise BadModel(f"{where}: it has no {key}; see docs/importing.md")
    if found := [key for key in FOUND_HERE if key in data]:
        raise BadModel(f"{where}: leave out {', '.join(found)}: the import finds it")
    spec = spec_of(data["input"].get("descriptor"), where)
    output = {"type": "spectrum", "errors": "none", "novelty": "none"} | data["output"]
    if isinstance(output.get("energy_ev"), str):
        output["energy_ev"] = read_grid(_beside(path, output["energy_ev"]))
    credit = data.get("origin", {})
    if not isinstance(credit, dict) or not credit.keys() <= CREDIT:
        raise BadModel(f"{where}: origin has other keys than {', '.join(sorted(CREDIT))}")
    blank = {"program": "", "files": {}, "command": "", "date": "", "versions": {}}
    completed: dict[str, Any] = data | {
        "origin": blank | credit,
        "input": {"type": "structure"} | data["input"] | {"descriptor": spec.to_dict()},
        "output": output,
    }
    return completed


def _beside(path: Path, words: str) -> str:
    """A file is named from where the manifest lies."""
    return words if words.count(":") == 2 else str(path.parent / words)
