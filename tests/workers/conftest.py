"""A small real model, a broker in memory, and a clock that tests move."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundles import make_bundle
from clocks import Clock

from model_store.bundle import Bundle
from workers.predictor import Predictor


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def predictor(bundle: Bundle) -> Predictor:
    return Predictor(bundle)


@pytest.fixture(scope="session")
def other_predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(make_bundle(tmp_path_factory.mktemp("other"), name="other", seed=1))


@pytest.fixture(scope="session")
def child_program() -> Path:
    return Path(__file__).parent / "mortal_child.py"
