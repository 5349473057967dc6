"""What a run is: its names, its energies, the models it has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xas.errors import RunRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that predicted frames of the run."""

    name: str
    version: str
    sha256: str
    first_frame: int = -1  # no frame yet

    def is_same(self, other: Model) -> bool:
        """The same bundle, whichever frame it came with."""
        return replace(self, first_frame=-1) == replace(other, first_frame=-1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunHeader:
    """What holds for every frame of a run.

    energy      (n_energy,) float64, eV
    time_units  unit of frame_time: "fs", "s", or "frame" where only the index is known
    start_time  Unix seconds
    descriptor  the descriptor's spec as JSON, or its name
    provider    of ONNX Runtime, as the worker reported it
    edge_step_method  how the workers find the edge step, in words
    """

    run: str
    element: str
    edge: str
    energy: NDArray[np.float64]
    time_units: str
    start_time: float
    title: str = ""
    sample: str = ""
    descriptor: str = ""
    provider: str = ""
    program_version: str = ""
    edge_step_method: str = ""
    keep_structures: bool = True
    extra: Mapping[str, str] = field(default_factory=dict)  # further attributes of process

    @property
    def n_energy(self) -> int:
        """Energies of a spectrum."""
        return len(self.energy)

    def resume(self, stored: RunHeader) -> RunHeader:
        """The header for going on with a stored run.

        Start, title, sample and whether structures are kept stay as stored; the rest is this one.
        RunRefused where rows of both would not fit into one table.
        """
        for name in ("run", "element", "edge", "time_units"):
            if getattr(self, name) != getattr(stored, name):
                raise RunRefused(
                    f"run {stored.run} was started with {name} {getattr(stored, name)!r}, "
                    f"not {getattr(self, name)!r}; take another run name or output file"
                )
        if not np.array_equal(self.energy, stored.energy):
            raise RunRefused(
                f"run {stored.run} was started with other energies ({stored.n_energy} of them); "
                "take another run name or output file, or the model it was started with"
            )
        return replace(
            self,
            start_time=stored.start_time,
            title=stored.title,
            sample=stored.sample,
            keep_structures=stored.keep_structures,
        )

    def to_json(self) -> dict[str, Any]:
        """All but the energies, as JSON types."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "energy"}
        return plain | {"extra": dict(self.extra)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], energy: NDArray[np.float64]) -> RunHeader:
        """Inverse of ``to_json``; ignores names that a later version may have added."""
        return cls(energy=energy, **{name: plain[name] for name in plain if name in cls.__slots__})


def models_to_json(models: list[Model]) -> list[dict[str, Any]]:
    """The models as JSON types."""
    return [asdict(model) for model in models]


def models_from_json(plain: list[dict[str, Any]]) -> list[Model]:
    """Inverse of ``models_to_json``."""
    return [Model(**entry) for entry in plain]
