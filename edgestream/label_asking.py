"""Requests for labels of the frames of a file: a trajectory, or a result file."""

from __future__ import annotations

from pathlib import Path

from edgestream.models import open_store
from edgestream.run_sites import RunSites
from stream.sources.trajectory import open_trajectory
from trainer.asking import Asker
from trainer.label_request import LabelRequest
from trainer.requests import RequestRules
from xas.edges import atomic_number
from xas.structure import sites_of_element

RESULTS = ".h5"


def ask_of_file(
    path: Path,
    name: str,
    archive: Path,
    rules: RequestRules,
    *,
    theory: str | None,
    models: str | None,
) -> list[LabelRequest]:
    """Ask for labels of the frames that the champion of a name knows least, best first.

    Of a trajectory every atom of the model's element is a site. Memory does not grow with the file.
    UnknownModel, BadTrajectory, BadResultFile, BadLabels.
    """
    asker = Asker(open_store(models), name, archive, rules, theory=theory)
    if path.suffix == RESULTS:
        _see_results(RunSites(path, name, rules), asker)
    else:
        _see_trajectory(path, asker)
    return asker.ask()


def _see_results(sites: RunSites, asker: Asker) -> None:
    while not sites.at_end:
        if (found := sites.read()) is not None:
            asker.look(found.structures, found.sites, found.names, found.mass)
    sites.close()


def _see_trajectory(path: Path, asker: Asker) -> None:
    first, element = 0, atomic_number(asker.element)
    with open_trajectory(path) as source:
        for chunk in source:
            frames = chunk.structures
            names = [f"{path.name} frame {first + i}" for i in range(len(frames))]
            asker.look(frames, sites_of_element(frames, element), names)
            first += len(frames)
