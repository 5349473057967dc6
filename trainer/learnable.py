"""What a model of a name can learn from an archive: labels that its champion could have learned."""

from __future__ import annotations

from model_store.aliases import CHAMPION
from model_store.bundle import Bundle
from model_store.store import Store
from trainer.label_archive import LabelArchive
from trainer.snapshot import Snapshot
from xas.errors import UnknownModel


def champion_of(store: Store, name: str) -> Bundle | None:
    """The model that workers use; None where there is none of that name yet."""
    try:
        return store.get(f"{name}@{CHAMPION}")
    except UnknownModel:
        return None


def take_snapshot(
    archive: LabelArchive, store: Store, name: str, theory: str | None = None
) -> Snapshot:
    """The labels that a model of this name can learn: its champion's element, edge and energies.

    BadLabels where there are none, or several kinds to choose from.
    """
    champion = champion_of(store, name)
    if champion is None:
        return archive.snapshot(theory=theory)
    manifest = champion.manifest
    energy = manifest.output.energy_ev
    return archive.snapshot(
        element=manifest.element,
        edge=manifest.edge,
        theory=theory,
        covering=(energy[0], energy[-1]),
    )
