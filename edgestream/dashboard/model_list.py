"""The models of the store: versions, aliases and who moved them last."""

from __future__ import annotations

from typing import Any

from edgestream.dashboard.places import Places
from edgestream.models import open_store
from model_store.manifest import Manifest
from xas.errors import EdgestreamError

MOST_MOVES = 5
MOST_VERSIONS = 50


class ModelList:
    """Manifests never change, so each is read once. For one thread."""

    def __init__(self, places: Places) -> None:
        self._store = open_store(places.models)
        self._known: dict[tuple[str, int], dict[str, Any]] = {}

    def now(self) -> dict[str, Any]:
        """All models; ``trouble`` says why the store does not answer."""
        try:
            return {"trouble": "", "models": [self._model(name) for name in self._store.names()]}
        except EdgestreamError as error:
            return {"trouble": str(error), "models": []}

    def _model(self, name: str) -> dict[str, Any]:
        versions = self._store.versions(name)[-MOST_VERSIONS:]
        if any((name, version) not in self._known for version in versions):
            self._known |= {(m.name, m.version): _facts(m) for m in self._store.list()}
        moves = self._store.history(name, MOST_MOVES)
        return {
            "name": name,
            "aliases": self._store.aliases(name),
            "versions": [
                self._known.get((name, v), {"version": v, "trouble": "its manifest is damaged"})
                for v in versions[::-1]
            ],
            "moves": [
                {"action": m.action, "alias": m.alias, "before": m.before, "after": m.after}
                | {"who": m.who, "when": m.when, "why": m.why}
                for m in moves
            ],
        }


def _facts(manifest: Manifest) -> dict[str, Any]:
    own = next((q for q in manifest.quality if q.model == manifest.name and not q.broadened), None)
    return {
        "version": manifest.version,
        "element": manifest.element,
        "edge": manifest.edge,
        "members": manifest.members,
        "error_percent": own.percent.median if own else None,
    }
