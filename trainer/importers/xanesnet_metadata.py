"""metadata.yaml of an XANESNET model: what of it changes a prediction, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from trainer.importers.architecture import ACTIVATIONS, Architecture
from trainer.importers.dialect import WacsfParameters
from xas.errors import BadModel, Reject

METADATA = "metadata.yaml"
MAX_BYTES = 2**20
MAX_WIDTH = 10_000


class Dataset(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How spectra were turned into the network's targets; paths are not followed."""

    fourier: bool = False
    gaussian: bool = False
    widths_ev: tuple[float, ...] = msgspec.field(default=(0.5, 1.0, 2.0, 4.0), name="widths_eV")
    basis_stride: int = 2
    basis_path: str | None = None


class DatasetSection(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The section ``dataset``; "xanesx": from a structure to its spectrum."""

    type: Literal["xanesx"] = "xanesx"
    params: Dataset | None = None


class Network(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A perceptron whose hidden layer i has int(hidden_size * shrink_rate^i) units."""

    type: str
    in_features: int
    out_features: int
    hidden_size: int
    num_hidden_layers: int
    shrink_rate: float = 1.0
    activation: str
    dropout: float = 0.0

    def architecture(self) -> Architecture:
        """The widths of its layers. Raises BadModel for numbers that no network has."""
        if not 1 <= self.num_hidden_layers <= 100 or not 0.0 < self.shrink_rate <= 10.0:
            raise BadModel(
                f"{self.num_hidden_layers} hidden layers, shrink_rate {self.shrink_rate}"
            )
        hidden = [
            int(min(1e9, self.hidden_size * self.shrink_rate**i))
            for i in range(self.num_hidden_layers)
        ]
        widths = (self.in_features, *hidden, self.out_features)
        if not all(1 <= width <= MAX_WIDTH for width in widths):
            raise BadModel(f"layers of {widths} units")
        return Architecture(widths=widths, activation=self.activation.lower())


class Metadata(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file. A section that is not known here may change predictions, and is refused."""

    mode: Literal["train_xyz"] = "train_xyz"
    model_dir: str = ""
    scheme: Literal["std", "ensemble", "bootstrap"]
    model: Network
    descriptors: tuple[WacsfParameters, ...]
    dataset: DatasetSection | None = None

    @property
    def targets(self) -> Dataset:
        """How spectra were turned into targets."""
        return (self.dataset.params if self.dataset else None) or Dataset()


def read_metadata(folder: Path) -> Metadata:
    """The metadata of a model folder. Raises BadModel, in one line, for what is not supported."""
    path = folder / METADATA
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadModel(
            f"{path}: cannot be read ({error.strerror}); give the folder that XANESNET saved, with "
            "metadata.yaml and model_weights.pth in it"
        ) from None
    try:
        metadata = msgspec.convert(_yaml(data), Metadata)
        _require_supported(metadata)
    except (msgspec.ValidationError, BadModel, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BadModel(f"{path}: not a model that can be imported: {reason}") from None
    return metadata


def _require_supported(metadata: Metadata) -> None:
    if metadata.model.type != "mlp":
        raise BadModel(f"a network of type {metadata.model.type!r}; only mlp is imported")
    if metadata.model.activation.lower() not in ACTIVATIONS:
        raise BadModel(f"activation {metadata.model.activation!r}; known: {', '.join(ACTIVATIONS)}")
    if len(metadata.descriptors) != 1:
        raise BadModel(f"{len(metadata.descriptors)} descriptors; only one wacsf is imported")
    if metadata.targets.fourier and metadata.targets.gaussian:
        raise BadModel("fourier and gaussian at once")
    metadata.model.architecture()


def _yaml(data: bytes) -> object:
    try:
        import yaml
    except ImportError:
        raise Reject("XANESNET models need PyYAML: pip install 'edgestream[train]'") from None
    if len(data) > MAX_BYTES:
        raise BadModel(f"larger than {MAX_BYTES >> 20} MiB")
    try:
        return yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadModel(f"not YAML ({error})") from None
