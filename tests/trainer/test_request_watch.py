"""Requests that are looked at again and again: what is new, what is answered, what is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

from trainer.label_request import LabelRequest, RequestFolder, request_of
from trainer.request_watch import RequestWatch
from xas.structure import StructureBatch


def asked(folder: RequestFolder, length: float) -> LabelRequest:
    structure = StructureBatch.from_arrays([26, 8], [[0, 0, 0], [0, 0, length]])
    why = {"novelty": length, "uncertainty": 0.1, "t_asked": 1e9 + length}
    request = request_of(structure, 0, "K", f"{length}", **why)
    folder.add(request)
    return request


def test_open_requests_come_first_and_the_latest_of_them_before_all(tmp_path: Path) -> None:
    folder, watch = RequestFolder(tmp_path), RequestWatch(tmp_path)
    assert watch.look().newest(9) == []
    first, _, third = (asked(folder, length) for length in (1.8, 1.9, 2.0))
    assert [r.name for r in watch.look().newest(9)] == ["2.0", "1.9", "1.8"]
    folder.answer(third.id, {})
    assert [r.name for r in watch.look().newest(9)] == ["1.9", "1.8", "2.0"]
    assert [r.name for r in watch.newest(1)] == ["1.9"]
    shutil.rmtree(folder.folder / first.id)
    assert (len(watch.look().open), len(watch.answered)) == (1, 1)


def test_what_is_no_request_is_passed_over_and_a_known_one_is_not_read_again(
    tmp_path: Path,
) -> None:
    folder, watch = RequestFolder(tmp_path), RequestWatch(tmp_path)
    request = asked(folder, 2.0)
    (folder.folder / "half").mkdir()
    (folder.folder / "half" / "request.json").write_text("{")
    (folder.folder / "notes.txt").write_text("not a folder")
    assert list(watch.look().open) == [request.id]
    (folder.folder / request.id / "request.json").write_text("spoiled later")
    assert list(watch.look().open) == [request.id]
