"""Training data of the archive as an npz file, as ``read_labels`` and ``label push`` read it."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stream.storage import storage, sync_folder
from trainer.archive import Labels
from trainer.archive_segment import Row
from xas.errors import OutputExists


def write_npz(labels: Labels, rows: Sequence[Row], path: Path, *, overwrite: bool = False) -> None:
    """Write the labels of a snapshot; rows: what the archive knows of each, in the same order.

    The file is there whole or not at all. OutputExists, StorageFailed.
    """
    if path.exists() and not overwrite:
        raise OutputExists(f"{path} exists: --overwrite, or another name")
    content = io.BytesIO()
    np.savez_compressed(content, **_arrays(labels, rows))
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with storage(path):
        try:
            with aside.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
            sync_folder(path.parent)
        finally:
            aside.unlink(missing_ok=True)


def _arrays(labels: Labels, rows: Sequence[Row]) -> dict[str, Any]:
    batch = labels.batch
    arrays = {
        "numbers": batch.numbers,
        "positions": batch.positions,
        "offsets": batch.offsets,
        "mu": labels.intensity,
        "energy": labels.energy,
        "name": labels.names,
        "weight": labels.weights,
        "snapshot": np.array(labels.sha256),
    }
    for what in ("sha256", "edge", "theory", "source"):
        arrays[what] = np.array([getattr(row, what) for row in rows], dtype=np.str_)
    if any(row.group for row in rows):
        arrays["material"] = labels.groups
    if batch.cells is not None and batch.pbc is not None:
        arrays |= {"cell": batch.cells, "pbc": batch.pbc}
    return arrays
