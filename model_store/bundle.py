"""A bundle: one version of one model, a folder whose every file is covered by a hash."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model_store import manifest as manifests
from model_store.manifest import CHECK, MODEL, Manifest
from model_store.onnx_file import require_standalone
from xas.errors import BadModel, BadStructure
from xas.npz import plain_arrays
from xas.structure import Sites, StructureBatch

if TYPE_CHECKING:
    from model_store.signature import TrustedKeys


@dataclass(frozen=True, slots=True)
class Check:
    """A known input with the answer that the model gave where it was made.

    mean, std  (n_sites, n_energy) float32
    novelty    (n_sites,) float32
    """

    batch: StructureBatch
    sites: Sites
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    novelty: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle folder whose manifest was read and whose files matched their hashes."""

    folder: Path
    manifest: Manifest

    @property
    def reference(self) -> str:
        """``name@version``."""
        return self.manifest.reference

    @property
    def sha256(self) -> str:
        """The hash of the network itself, by which results name their model."""
        return self.manifest.files[MODEL]

    def content(self, name: str) -> bytes:
        """The bytes of one file, hashed as they were read; BadModel where the hash differs."""
        path = self.folder / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BadModel(f"{path}: cannot be read ({error.strerror}); {_REMEDY}") from None
        if hashlib.sha256(data).hexdigest() != self.manifest.files[name]:
            raise BadModel(
                f"{path}: does not match its SHA-256 in the manifest of {self.reference}; {_REMEDY}"
            )
        return data

    def model(self) -> bytes:
        """The ONNX graph: hash checked, nothing of it outside these bytes."""
        data = self.content(MODEL)
        require_standalone(data, str(self.folder / MODEL))
        return data

    def check(self) -> Check:
        """The input by which a worker tests itself, and what must come out."""
        try:
            return _check_of(_arrays(self.content(CHECK)))
        except _NO_ARRAYS as error:
            raise BadModel(f"{self.folder / CHECK}: not a check input: {error}") from None


_REMEDY = "the bundle is damaged: put it into the store again, or reinstall edgestream"


def open_bundle(folder: Path, keys: TrustedKeys | None = None) -> Bundle:
    """The bundle in a folder. Raises BadModel unless manifest and every file's hash agree.

    With ``keys`` also unless one of them has signed the manifest, which is looked at first.
    """
    bundle = Bundle(folder, manifests.read(folder))
    if keys is not None:
        keys.require_signed(bundle.manifest, str(folder))
    for name in bundle.manifest.files:
        _ = bundle.model() if name == MODEL else bundle.content(name)
    return bundle


MAX_CHECK_BYTES = 64 << 20
_NO_ARRAYS = (
    *(KeyError, ValueError, TypeError, OSError, NotImplementedError, BadStructure),
    *(zipfile.BadZipFile, struct.error),
)


def _arrays(packed: bytes) -> dict[str, NDArray[np.generic]]:
    """The arrays of an npz file that does not unpack to much more than it should hold."""
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        size = sum(member.file_size for member in file.infolist())
    if size > MAX_CHECK_BYTES:
        raise ValueError(f"it unpacks to {size >> 20} MiB, {MAX_CHECK_BYTES >> 20} are allowed")
    return plain_arrays(io.BytesIO(packed))


def _check_of(data: dict[str, NDArray[np.generic]]) -> Check:
    batch = StructureBatch.from_arrays(data["numbers"], data["positions"], data["offsets"])
    sites = Sites(data["structure"].astype(np.int64), data["atom"].astype(np.int64))
    mean, std, novelty = (data[key].astype(np.float32) for key in ("mean", "std", "novelty"))
    if not len(sites) == len(sites.atom) == len(mean) == len(std) == len(novelty) > 0:
        raise ValueError("its arrays do not belong together")
    return Check(batch, sites, mean, std, novelty)


def check_bytes(check: Check) -> bytes:
    """The check input as an npz file."""
    file = io.BytesIO()
    np.savez(
        file,
        numbers=check.batch.numbers,
        positions=check.batch.positions,
        offsets=check.batch.offsets,
        structure=check.sites.structure,
        atom=check.sites.atom,
        mean=check.mean,
        std=check.std,
        novelty=check.novelty,
    )
    return file.getvalue()
