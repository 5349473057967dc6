"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from buckets import s3_server, s3_url
from hypothesis import settings

__all__ = ["data_dir", "s3_server", "s3_url"]

# CI draws the same examples every time; on a developer's machine each run draws others
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Passwords of the ports that tests open lie in a folder of theirs."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data: $EDGESTREAM_DATA, or ../shared/data beside the checkout."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("EDGESTREAM_DATA", beside))
    if not (folder / "README.md").is_file():
        pytest.skip(f"no real data in {folder} (set EDGESTREAM_DATA)")
    return folder
