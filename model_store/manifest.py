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
from typing import Any, Literal

import msgspec
from msgspec import Struct

from xas.descriptor import DescriptorSpec
from xas.edges import SYMBOLS
from xas.errors import BadModel

FORMAT = 2
"""2: also models of other programs, whose training or calibration may be unknown."""
MANIFEST = "manifest.json"
MODEL = "model.onnx"
CHECK = "check.npz"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SHA256 = re.compile(r"[0-9a-f]{64}")
MAX_ENERGIES = 100_000


class StructureInput(Struct, frozen=True, forbid_unknown_fields=True, tag="structure"):
    """A structure goes in, through a descriptor: every parameter, as ``DescriptorSpec.to_dict``."""

    descriptor: dict[str, Any]


Evidence = Literal["calibrated", "uncalibrated", "none"]
"""What stands behind an output: held-out data, the model alone, or nothing (it is 0 then)."""


class SpectrumOutput(Struct, frozen=True, forbid_unknown_fields=True, tag="spectrum"):
    """A spectrum comes out, with one standard deviation, on a grid of energies.

    energy_ev  rising energies, eV
    unit       of the intensity and its errors
    errors     what stands behind ``std``, "uncalibrated": the spread of members as it is
    novelty    what stands behind ``novelty``
    """

    energy_ev: tuple[float, ...]
    unit: str
    errors: Evidence = "calibrated"
    novelty: Evidence = "calibrated"


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


class Origin(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a model of another program comes from.

    program     that made it, as far as its files say
    files       what was imported: name -> SHA-256
    command     that imported it; ``date``, ``versions``: when, and by which programs
    settings    of the original, as it was read
    difference  largest absolute difference between this graph and the original's own weights on the
                check input; None where there was no original to compare with
    """

    program: str
    files: dict[str, str]
    command: str
    date: str
    versions: dict[str, str]
    settings: dict[str, Any] = {}
    difference: float | None = None
    source: str = ""
    licence: str = ""
    citation: str = ""


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


class Coverage(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often intervals held what was true.

    where      which points: "all", a region of energy from the edge, or a range of novelty
    n_spectra  that the points belong to
    held       share of the points that lie in the interval which should hold it: {"68": 0.69, ...}
    """

    where: str
    n_spectra: int
    held: dict[str, float]


class Calibration(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How spread became one standard deviation, and novelty a number; in words and figures."""

    method: str
    split: str
    figures: dict[str, float]
    coverage: tuple[Coverage, ...] = ()


class Manifest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that is known of one version of one model; ``files``: name -> SHA-256.

    ``signature`` is of all but itself and the version: see `signature.py`.

    A model trained here has training, quality and calibration; one of another program has an
    origin, and the others only where somebody wrote them down.
    """

    format: int = FORMAT
    name: str
    version: int = 1
    element: str
    edge: str
    summary: str = ""
    input: StructureInput
    output: SpectrumOutput
    members: int = 1
    training: Training | None = None
    quality: tuple[Measures, ...] = ()
    calibration: Calibration | None = None
    origin: Origin | None = None
    files: dict[str, str] = {}
    signature: str = ""

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
    said = msgspec.to_builtins(manifest)
    if not manifest.signature:
        del said["signature"]  # what is not signed is as edgestream 0.1 wrote it
    return msgspec.json.format(msgspec.json.encode(said), indent=1) + b"\n"


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
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
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
    validate_content(manifest, where)
    if fault := _file_fault(manifest.files):
        raise BadModel(f"{where}: {fault}")


def validate_content(manifest: Manifest, where: str) -> None:
    """The same for a model whose files are not written yet."""
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
    if not manifest.output.unit.strip() or not manifest.output.unit.isprintable():
        return "the unit of the intensity is empty, or no text in one line"
    if manifest.members < 1:
        return "an ensemble has at least one member"
    return _evidence_fault(manifest)


def _evidence_fault(manifest: Manifest) -> str | None:
    if manifest.training is None and (manifest.format < FORMAT or manifest.origin is None):
        return "neither how it was trained nor where it comes from (training, origin) is said"
    if manifest.calibration is None:
        for name in ("errors", "novelty"):
            if getattr(manifest.output, name) == "calibrated":
                return f"{name}: said to be calibrated, but not how (calibration); or is it none?"
    return None


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
