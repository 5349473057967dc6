"""Results become rows, however they are cut into blocks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from bundles import ENERGY, iron_oxides
from stage import MODEL, result_of

from stream.broker import Entry
from stream.codec import Array, decode, encode
from stream.messages import FrameBlock, ResultBlock
from stream.result_file.rows import Rows
from stream.result_rows import Answer, UsedModel, rows_of
from xas.errors import BadMessage
from xas.structure import StructureBatch

MODELS = {MODEL: UsedModel(0, ENERGY)}


def block(first: int, end: int, *, cell: bool = False, **options: object) -> Answer:
    """The result of frames first to end, which follow from their indices."""
    structures = iron_oxides(end - first, first=first)
    if cell:
        n = len(structures)
        structures = StructureBatch(
            numbers=structures.numbers, positions=structures.positions, offsets=structures.offsets,
            cells=np.tile(9.0 * np.eye(3), (n, 1, 1)), pbc=np.ones((n, 3), np.bool_),
        )  # fmt: skip
    payload = encode(
        FrameBlock.of(structures, run="md", first=first, model="tiny", t_pushed=float(first))
    )
    entry = Entry(
        stream="0:live", id=str(first), run="md", first=first, n_frames=end - first, payload=payload
    )
    result = decode(result_of(entry, **options).result, ResultBlock)  # type: ignore[arg-type]
    pushed = Array.of(np.full(end - first, float(first)))
    return msgspec.structs.replace(result, t_pushed=pushed), [payload]


def blocks(edges: Sequence[int], **options: object) -> list[Answer]:
    return [block(a, b, **options) for a, b in pairwise(edges)]


def rows(results: Sequence[Answer]) -> Rows:
    return rows_of(results, ENERGY, MODELS, keep_structures=True)


@pytest.mark.parametrize("dead", [(), (0, 4, 5)])
def test_blocks_that_are_joined_give_the_rows_of_each(dead: tuple[int, ...]) -> None:
    results = blocks([0, 1, 4, 6, 11], dead=dead)
    joined = rows(results)
    apart = Rows.concatenate([rows([result]) for result in results])
    assert joined.one_site_each == (not dead)
    assert joined.reasons == apart.reasons
    for name in Rows.__slots__:
        if name not in ("first_index", "reasons", "structures"):
            np.testing.assert_array_equal(getattr(joined, name), getattr(apart, name), name)
    assert joined.structures is not None
    np.testing.assert_array_equal(joined.structures.positions, iron_oxides(11).positions)
    np.testing.assert_array_equal(joined.t_pushed, np.repeat([0, 1, 4, 6], [1, 3, 2, 5]))


def test_blocks_with_and_without_a_cell_are_joined() -> None:
    structures = rows([block(0, 2), block(2, 3, cell=True)]).structures
    assert structures is not None
    assert structures.cells is not None
    assert structures.pbc is not None
    assert structures.cells[:, 0, 0].tolist() == [0.0, 0.0, 9.0]
    assert structures.pbc.any(axis=1).tolist() == [False, False, True]


def test_blocks_of_nothing_but_dead_letters_join_any_model() -> None:
    found = rows([block(0, 2, model=""), block(2, 4), block(4, 5, model="")])
    assert found.status.tolist() == [2, 2, 1, 1, 2]
    assert found.model_index.tolist() == [-1, -1, 0, 0, -1]
    assert np.isnan(found.intensity[[0, 1, 4]]).all()
    assert found.site_frame.tolist() == [2, 3]


def test_spectra_on_another_grid_are_interpolated() -> None:
    energy = ENERGY + 2.5
    result = block(0, 3)
    moved = rows_of([result], energy, MODELS, keep_structures=False).intensity
    own = rows([result]).intensity
    for row, expected in zip(moved, own, strict=True):
        line = np.interp(energy, ENERGY, expected, right=np.nan)
        np.testing.assert_allclose(row, line.astype(np.float32), rtol=1e-6)
    assert np.isnan(moved[:, -1]).all()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("status", np.ones(3, np.uint8)),
        ("site_frame", np.array([0, 2], "<i4")),
        ("site_frame", np.array([1, 0], "<i4")),
        ("site_atom", np.zeros(2)),
        ("intensity", np.zeros((2, 5), np.float32)),
        ("errors", np.zeros(2, np.float32)),
        ("novelty", np.zeros(1, np.float32)),
    ],
)
def test_arrays_that_disagree_are_refused(name: str, wrong: np.ndarray) -> None:
    good, frames = block(2, 4)
    bad = msgspec.structs.replace(good, **{name: Array.of(wrong)})
    with pytest.raises(BadMessage):
        rows([block(0, 2), (bad, frames)])


def test_frames_that_nobody_could_read_are_rows_without_a_structure() -> None:
    good, frames = block(0, 2), block(2, 4, model="")
    unread = msgspec.structs.replace(frames[0], ours=False, t_pushed=Array.of(np.zeros(0)))
    found = rows([good, (unread, [b"no message at all"]), block(4, 5)])
    assert found.status.tolist() == [1, 1, 2, 2, 1]
    assert found.frame_time.tolist() == [0, 1, 2, 3, 4]
    assert np.isnan(found.t_pushed).tolist() == [False, False, True, True, False]
    assert found.structures is not None
    assert np.diff(found.structures.offsets)[2:4].tolist() == [0, 0]


def test_a_result_of_other_frames_is_refused() -> None:
    with pytest.raises(BadMessage, match="other frames"):
        rows([(block(0, 2)[0], block(0, 3)[1])])


@pytest.mark.parametrize("reasons", [{5: "x"}, {-1: "x"}, {0: "x"}, {2**63 - 1: "x"}])
def test_a_reason_for_another_frame_is_refused(reasons: dict[int, str]) -> None:
    """Found by fuzzing: it ended the writer, for every run."""
    first, (result, pushed) = blocks([0, 2, 4], dead=(3,))
    with pytest.raises(BadMessage, match="no dead letter"):
        rows([first, (msgspec.structs.replace(result, reasons=reasons), pushed)])
