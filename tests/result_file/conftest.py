"""A run on disk, and a clock that tests move."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_rows import HEADER, RUN, Clock, OpenRun, make_rows

from stream.result_file import merging
from stream.result_file.run_folder import RunFolder
from stream.result_file.survey import highest_epoch


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def few_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merging begins with the eighth segment."""
    monkeypatch.setattr(merging, "MOST", 7)


@pytest.fixture
def open_run(tmp_path: Path, clock: Clock) -> OpenRun:
    """Recover the run in tmp_path with the next epoch."""

    def recover(**options: object) -> RunFolder:
        folder = RunFolder.recover(
            tmp_path,
            RUN,
            epoch=highest_epoch(tmp_path, RUN) + 1,
            clock=clock,
            **{"header": HEADER, "grace_s": 60.0} | options,  # type: ignore[arg-type]
        )
        folder.add_model("fe-k", "1", "ab" * 32)
        return folder

    return recover


@pytest.fixture
def three_segments(open_run: OpenRun) -> RunFolder:
    """600 frames in 3 segments; the second has two stretches."""
    folder = open_run()
    for first, n in ((0, 100), (100, 400), (500, 100)):
        folder.append(make_rows(first, n, dead=(3, 317)))
    folder.refresh(force=True)
    return folder
