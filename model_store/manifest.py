"""The manifest of a bundle: what goes in, what comes out, how it was made and how good it is.

JSON on disk, written for reading. What is read here may come from anywhere: ``read`` and ``decode``
check everything once, and whoever holds a ``Manifest`` need not check again.
"""

from __future__ import annotations

import hashlib
import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from xas.descriptor import DescriptorSpec
from xas.edges import SYMBOLS
from xas.errors import BadModel

FORMAT = 1
MANIFEST = "manifest.json"
MODEL = "model.onnx"
CHECK = "check.npz"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SHA256 = re.compile(r"[0-9a-f]{64}")
MAX_ENERGIES = 100_000


class StructureInput(Struct, frozen=True, forbid_unknown_fields=True, tag="structure"):
    """A structure goes in, through a descriptor: every parameter, as ``DescriptorSpec.to_dict``."""

    descriptor: dict[str, Any]


class SpectrumOutput(Struct, frozen=True, forbid_unknown_fields=True, tag="spectrum"):
    """A spectrum comes out, with one standard deviation, on a grid of energies.

    energy_ev  rising energies, eV
    unit       of the intensity and its errors
    """

    energy_ev: tuple[float, ...]
    unit: str


class Dataset(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The labels of a training."""

    file: str
    sha256: str
    n_labels: int
    n_groups: int
    source: str
    licence: str
    citation: str


class Training(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the model was made; ``recipe``: every setting of the fit, ``versions``: the programs."""

    command: str
    preset: str
    seed: int
    date: str
    duration_s: float
    data: Dataset
    recipe: dict[str, Any]
    versions: dict[str, str]


class PercentErrors(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Distribution over spectra of 100 * sum|prediction - target| / sum(target), percent."""

    median: float
    lower_quartile: float
    upper_quartile: float
    skewness: float | None = None


class PeakErrors(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Errors of the positions of prominent peaks, eV; ``hit_rate``: share of peaks found again."""

    mean_ev: float | None = None
    max_ev: float | None = None
    std_ev: float | None = None
    r2: float | None = None
    hit_rate: float | None = None
    n_peaks: int | None = None


class Measures(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One row of the table of measures.

    model      which model: this one, or one that it is compared with
    split      which spectra, and whether the model had seen them
    broadened  after the arctangent broadening (False: the spectra as they are)
    coverage   share of points within the interval that should hold it: {"68": 0.69, ...}
    """

    model: str
    split: str
    n_spectra: int
    broadened: bool
    percent: PercentErrors
    peaks: PeakErrors | None = None
    coverage: dict[str, float] = {}


class Calibration(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How spread became one standard deviation, and novelty a number; in words and figures."""

    method: str
    split: str
    figures: dict[str, float]


class Manifest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that is known of one version of one model; ``files``: name -> SHA-256."""

    format: int = FORMAT
    name: str
    version: int
    element: str
    edge: str
    summary: str = ""
    input: StructureInput
    output: SpectrumOutput
    members: int
    training: Training
    quality: tuple[Measures, ...]
    calibration: Calibration
    files: dict[str, str]

    @property
    def reference(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def descriptor(self) -> DescriptorSpec:
        """The descriptor of the input."""
        return DescriptorSpec.from_dict(self.input.descriptor)


class _Header(Struct):
    """What is read before the rest, so that a newer format is recognised as such."""

    format: int


def encode(manifest: Manifest) -> bytes:
    """The JSON of a manifest, indented, ending in a newline."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def decode(data: bytes, where: str) -> Manifest:
    """A manifest from its JSON. Raises BadModel, naming ``where``, for anything that is not one."""
    try:
        header = msgspec.json.decode(data, type=_Header)
        if header.format > FORMAT:
            raise BadModel(
                f"{where}: manifest format {header.format} is newer than this edgestream reads "
                f"({FORMAT}); update edgestream"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise BadModel(f"{where}: not a manifest of a model: {error}") from None
    validate(manifest, where)
    return manifest


def read(folder: Path) -> Manifest:
    """The manifest of a bundle folder; BadModel where it is missing or wrong."""
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadModel(f"{path}: cannot be read ({error.strerror}); not a bundle folder") from None
    return decode(data, str(path))


def validate(manifest: Manifest, where: str) -> None:
    """Check what the types cannot say. Raises BadModel with the first fault."""
    if fault := _fault(manifest):
        raise BadModel(f"{where}: {fault}")
    try:
        spec = manifest.descriptor
    except BadModel as error:
        raise BadModel(f"{where}: {error}") from None
    if spec.to_dict() != manifest.input.descriptor:
        raise BadModel(f"{where}: the descriptor has values that this edgestream would change")


def _fault(manifest: Manifest) -> str | None:
    energies = manifest.output.energy_ev
    if not NAME.fullmatch(manifest.name):
        return f"{manifest.name!r} is no name of a model (letters, digits, . _ - up to 64)"
    if manifest.version < 1:
        return f"version {manifest.version} is not 1 or more"
    if manifest.element not in SYMBOLS[1:]:
        return f"{manifest.element!r} is no element"
    if not 2 <= len(energies) <= MAX_ENERGIES or not all(map(math.isfinite, energies)):
        return f"{len(energies)} energies, or one that is not finite"
    if any(b <= a for a, b in pairwise(energies)):
        return "the energies do not rise"
    if manifest.members < 1:
        return "an ensemble has at least one member"
    return _file_fault(manifest.files)


def _file_fault(files: dict[str, str]) -> str | None:
    for needed in (MODEL, CHECK):
        if needed not in files:
            return f"the manifest has no hash of {needed}"
    for name, digest in files.items():
        if not NAME.fullmatch(name) or name == MANIFEST:
            return f"{name!r} is no name of a file in a bundle"
        if not SHA256.fullmatch(digest):
            return f"the hash of {name} is not a SHA-256 in hexadecimal"
    return None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
