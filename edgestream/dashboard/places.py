"""Where the page looks: a server, a folder of result files, a store of models."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from stream.broker import RunState
from stream.messages import check_run_name
from stream.redis_broker import RedisBroker
from stream.settings import Settings
from stream.url_secrets import shown
from xas.errors import BadResultFile

MEASURED = (".xdi", ".xdi.gz")
MOST_FILES = 200


@dataclass(frozen=True, kw_only=True)
class Places:
    """``out`` None: only the files that the server knows of; ``models`` None: the user's store.

    jobs_url  the server of the trainer's jobs, where it is not the same
    labels    the trainer's folder, where requests for labels lie, if it is on this machine
    """

    url: str
    out: Path | None
    models: str | None
    settings: Settings
    jobs_url: str | None = None
    labels: Path | None = None

    @property
    def shown_url(self) -> str:
        """The server, without login and password."""
        return shown(self.url)

    def broker(self) -> RedisBroker:
        """A connection of one's own: whoever follows a run holds it while it waits."""
        return RedisBroker(self.url, self.settings)

    def file_of(self, run: str, state: RunState | None) -> Path | None:
        """Where a run's rows lie on this machine; None where they do not (yet)."""
        check_run_name(run)
        if state is not None and state.file and state.host == socket.gethostname():
            return Path(state.file)
        if self.out is None or (state is not None and state.file):
            return None
        found = self.out / f"{run}.h5"
        return found if found.is_file() else None

    def require_file(self, run: str) -> Path:
        """The file in the folder, or where the server says; BadResultFile where there is none."""
        found = self.file_of(run, None)
        if found is None:
            broker = self.broker()
            try:
                found = self.file_of(run, broker.run(run))
            finally:
                broker.close()
        if found is None or not found.is_file():
            raise BadResultFile(f"run {run!r} has no file on this machine (yet)")
        return found

    def runs_on_disk(self) -> list[str]:
        """Runs of the folder, those that were written last first."""
        return [path.name.removesuffix(".h5") for path in self._files((".h5",))]

    def measured(self) -> list[str]:
        """Names of the measured spectra in the folder."""
        return sorted(path.name for path in self._files(MEASURED))

    def measured_file(self, name: str) -> Path | None:
        """One of them."""
        return next((p for p in self._files(MEASURED) if p.name == name), None)

    def _files(self, endings: tuple[str, ...]) -> list[Path]:
        if self.out is None or not self.out.is_dir():
            return []
        found = []
        for path in self.out.iterdir():
            if path.name.endswith(endings) and not path.name.startswith("."):
                try:
                    found.append((path.stat().st_mtime, path))
                except OSError:
                    continue  # it went a moment ago
        return [path for _, path in sorted(found, reverse=True)[:MOST_FILES]]
