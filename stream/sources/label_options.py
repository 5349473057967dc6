"""What whoever pushes a file of labels says about it, where the file does not."""

from __future__ import annotations

from dataclasses import dataclass

from xas.structure import StructureBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOptions:
    """None: as the file says, or as its format usually has it.

    theory, source, edge  of all labels in the file; see ``stream.labels.Label``
    weight                of each of them
    energy_offset_ev      added to all energies, e.g. 7112 where they are relative to that
    structure             a batch of one, for spectra that come without
    absorber              its index, from 0, where the element does not tell
    spectrum              the name of the one spectrum to take from a project
    """

    theory: str | None = None
    source: str | None = None
    edge: str | None = None
    weight: float | None = None
    energy_offset_ev: float = 0.0
    structure: StructureBatch | None = None
    absorber: int | None = None
    spectrum: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoLabel:
    """What could not become a label, and why."""

    name: str
    reason: str
