"""Labels to learn from, made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_labels import made_labels


@pytest.fixture(scope="session")
def labels_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "made.npz"
    np.savez(path, **made_labels())
    return path
