"""Requests for labels of the frames of a trajectory."""

from __future__ import annotations

from pathlib import Path

from edgestream.models import open_store
from stream.sources.trajectory import open_trajectory
from trainer.asking import ask
from trainer.label_archive import LabelArchive
from trainer.label_request import LabelRequest, RequestFolder
from trainer.learnable import champion_of, take_snapshot
from trainer.requests import RequestRules
from xas.edges import atomic_number
from xas.errors import UnknownModel
from xas.structure import StructureBatch, sites_of_element


def ask_of_trajectory(
    trajectory: Path,
    name: str,
    archive: Path,
    rules: RequestRules,
    *,
    theory: str | None,
    models: str | None,
) -> list[LabelRequest]:
    """Ask for labels of the frames that the champion of a name knows least, best first.

    Every atom of the model's element is a site. UnknownModel, BadTrajectory, BadLabels.
    """
    store = open_store(models)
    champion = champion_of(store, name)
    if champion is None:
        raise UnknownModel(f"{name} has no champion: edgestream models list")
    labels = LabelArchive(archive)
    known = labels.read(take_snapshot(labels, store, name, theory).id)
    with open_trajectory(trajectory) as source:
        frames = StructureBatch.concatenate([chunk.structures for chunk in source])
    return ask(
        frames,
        sites_of_element(frames, atomic_number(champion.manifest.element)),
        [f"{trajectory.name} frame {i}" for i in range(len(frames))],
        champion=champion,
        labels=known,
        requests=RequestFolder(archive),
        rules=rules,
    )
