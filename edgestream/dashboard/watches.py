"""Which watches run: one for the service and one for each run that somebody looks at."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgestream.dashboard.places import Places
from edgestream.dashboard.run_watch import RunWatch
from edgestream.dashboard.service_watch import ServiceWatch
from edgestream.dashboard.watch import Watch
from xas.errors import Retry

SERVICE = ""
MOST_WATCHES = 64  # a thread and a connection each


class Watches:
    """Starts a watch when its first viewer comes; it ends by itself some time after its last."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._lock = threading.Lock()
        self._running: dict[str, Watch] = {}
        self.closed = False

    def service(self) -> Watch:
        """That of the service."""
        return self._get(SERVICE, lambda: ServiceWatch(self._places, self._may_end))

    def run(self, run: str) -> Watch:
        """That of a run, also of one that has not begun."""
        return self._get(run, lambda: RunWatch(run, self._places, self._may_end))

    @property
    def viewers(self) -> int:
        """How many browsers look at anything: all of them look at the service too."""
        service = self._running.get(SERVICE)
        return 0 if service is None else service.board.viewers

    def _get(self, name: str, make: Callable[[], Watch]) -> Watch:
        with self._lock:
            if name not in self._running:
                if len(self._running) >= MOST_WATCHES:
                    raise Retry(f"{MOST_WATCHES} runs are looked at already: again in a minute")
                self._running[name] = make()
                self._running[name].start()
            return self._running[name].wanted()

    def _may_end(self, watch: Watch) -> bool:
        """Whether nobody came since it found itself alone; then it is forgotten."""
        with self._lock:
            if not watch.is_idle:
                return False
            self._running = {k: w for k, w in self._running.items() if w is not watch}
            return True

    def close(self) -> None:
        """End all, with the streams of their viewers."""
        with self._lock:
            self.closed, running = True, list(self._running.values())
        for watch in running:
            watch.close()
