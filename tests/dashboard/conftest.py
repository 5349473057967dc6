"""One service and one browser for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from page_stand import Service, Viewer, running_browser
from playwright.sync_api import Browser

from edgestream.client import connect
from edgestream.demo_command import demo_trajectory
from edgestream.feeding import Opened, Trajectory


@pytest.fixture(scope="module")  # while there is one, its event loop runs in this thread
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """With the demo's 400 frames in run ``md``."""
    with Service(tmp_path_factory.mktemp("service")).running() as running:
        with connect(running.url) as es:
            with es.run("md", time_units="fs", title="a molecule") as run:
                for chunk in Opened(Trajectory(path=str(demo_trajectory()))):
                    run.push(chunk.structures, times=chunk.times_fs)
            run.result().close()
        yield running


@pytest.fixture
def viewer(browser: Browser, service: Service) -> Iterator[Viewer]:
    """Who looks at the service; the browser must have had nothing to complain of."""
    viewer = Viewer.of(browser, service.address)
    yield viewer
    viewer.page.context.close()
    assert viewer.complaints == []
