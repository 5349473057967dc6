"""What every benchmark may ask for: the same structures as ``edgestream bench`` measures on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgestream.bench.structures import Movie, Sample, complexes, condensed, movie


@pytest.fixture(scope="session")
def data() -> Path | None:
    """The folder of real data; None where it is not here, and structures are made instead."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("EDGESTREAM_DATA", beside))
    return folder if (folder / "README.md").is_file() else None


@pytest.fixture(scope="session")
def fe_complexes(data: Path | None) -> Sample:
    return complexes(data)


@pytest.fixture(scope="session")
def liquid() -> Sample:
    return condensed()


@pytest.fixture(scope="session")
def film(data: Path | None) -> Movie:
    return movie(data)
