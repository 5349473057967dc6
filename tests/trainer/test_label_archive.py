"""The archive of labels: appended to, never changed; its snapshots say exactly what was learned."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from iron_labels import ENERGY, iron_label, iron_labels, octahedron, spectrum

from stream.codec import encode
from stream.labels import Label
from stream.memory_label_stream import MemoryLabelStream
from stream.record_file import records
from trainer import archive_writer
from trainer.archive import read_labels
from trainer.archive_writer import REFUSED, ArchiveWriter
from trainer.archivist import Archivist
from trainer.label_archive import LabelArchive
from trainer.label_npz import write_npz
from xas.errors import BadLabels, Fenced, OutputExists, StorageFailed


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[ArchiveWriter]:
    with ArchiveWriter(tmp_path / "labels") as writer:
        yield writer


def store(writer: ArchiveWriter, *labels: Label) -> list[tuple[str, int, int | None]]:
    told = writer.append(labels, [1.7e9 + i for i in range(len(labels))])
    return [(t.outcome, t.number, t.other) for t in told]


def test_labels_come_back_as_they_were_stored(writer: ArchiveWriter) -> None:
    labels = [*iron_labels(3), iron_label(2.4, weight=2.0, group="mp-1", source="Ünï")]
    assert store(writer, *labels) == [("new", i, None) for i in range(4)]
    archive = LabelArchive(writer.archive.folder)
    assert archive.labels() == labels
    assert [row.sha256 for row in archive.rows] == [label.sha256 for label in labels]
    assert archive.rows[3].source == "Ünï"


def test_a_duplicate_is_seen_and_not_stored(writer: ArchiveWriter) -> None:
    store(writer, iron_label(2.0))
    again = iron_label(2.0, source="elsewhere", weight=9.0)
    assert store(writer, again, iron_label(2.1), iron_label(2.1)) == [
        ("duplicate", 0, 0),
        ("new", 1, None),
        ("duplicate", 1, 1),
    ]
    assert len(LabelArchive(writer.archive.folder)) == 2


def test_another_spectrum_of_the_same_structure_is_a_conflict(writer: ArchiveWriter) -> None:
    store(writer, iron_label(2.0))
    other = iron_label(2.0, intensity=spectrum(2.1), source="elsewhere")
    assert store(writer, other) == [("conflict", 1, 0)]
    assert writer.archive.conflicts() == [[0, 1]]


def test_another_theory_of_the_same_structure_is_no_conflict(writer: ArchiveWriter) -> None:
    store(writer, iron_label(2.0))
    assert store(writer, iron_label(2.0, theory="FEFF10"))[0][0] == "new"
    assert writer.archive.conflicts() == []


def test_only_one_process_appends(writer: ArchiveWriter) -> None:
    with pytest.raises(Fenced, match="another process appends"):
        ArchiveWriter(writer.archive.folder)
    writer.close()
    ArchiveWriter(writer.archive.folder).close()
    writer._lock = 0  # closed by the fixture again otherwise
    writer.close = lambda: None  # type: ignore[method-assign]


def test_a_snapshot_names_the_set_and_its_order(writer: ArchiveWriter) -> None:
    store(writer, *iron_labels(5))
    first = writer.archive.snapshot()
    assert first == writer.archive.snapshot() == LabelArchive(writer.archive.folder).snapshot()
    store(writer, *iron_labels(7))
    second = writer.archive.snapshot()
    assert second.id != first.id
    without = writer.archive.snapshot(without=[r.sha256 for r in writer.archive.rows[5:]])
    assert without.id == first.id
    assert [s.id for s in writer.archive.snapshots()] == sorted([first.id, second.id])


def test_an_earlier_snapshot_can_be_rebuilt_bit_for_bit(
    writer: ArchiveWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_writer, "MERGED", 3)
    labels = iron_labels(40)
    taken = {}
    for i, label in enumerate(labels):
        store(writer, label, iron_label(3.0 + i / 100, theory="FEFF10"))
        if i % 10 == 4:
            taken[i + 1] = writer.archive.snapshot(theory="FDMNES").id
    archive = LabelArchive(writer.archive.folder)
    assert len(list(archive.folder.glob("*.h5"))) < 10
    for n, id_ in taken.items():
        data = archive.read(id_[:8])
        assert (len(data), data.sha256, data.theory) == (n, id_, "FDMNES")
        expected = np.array([label.spectrum()[1] for label in labels[:n]])
        np.testing.assert_array_equal(data.intensity, expected)


def test_theories_are_never_mixed(writer: ArchiveWriter) -> None:
    store(writer, iron_label(2.0), iron_label(2.0, theory="FEFF10"))
    with pytest.raises(BadLabels, match=r"Fe K 'FDMNES' \(1\); Fe K 'FEFF10' \(1\): choose"):
        writer.archive.snapshot()
    assert writer.archive.snapshot(theory="FEFF10").n_labels == 1
    with pytest.raises(BadLabels, match="no such labels"):
        writer.archive.snapshot(theory="DFT")


def test_spectra_on_other_grids_are_put_on_one(writer: ArchiveWriter) -> None:
    fine = np.linspace(7095.0, 7165.0, 701)
    line = (fine - 7090.0) / 100.0
    wide = iron_label(2.2, energy=fine, intensity=line)
    short = iron_label(2.3, energy=ENERGY[10:], intensity=spectrum()[10:])
    store(writer, iron_label(2.0), wide, short)
    with pytest.raises(BadLabels, match=r"has 3 energy grids .*name the one to learn"):
        writer.archive.read(writer.archive.snapshot().id)
    with pytest.raises(BadLabels, match="do not cover 7100 to 7160 eV"):
        writer.archive.read(writer.archive.snapshot().id, energy=ENERGY)
    covering = writer.archive.snapshot(covering=(7100.0, 7160.0))
    data = writer.archive.read(covering.id, energy=ENERGY)
    np.testing.assert_allclose(data.intensity[1], (ENERGY - 7090.0) / 100.0)
    np.testing.assert_array_equal(data.intensity[0], spectrum(2.0))


def test_training_data_are_those_of_an_npz_file(writer: ArchiveWriter, tmp_path: Path) -> None:
    store(writer, *iron_labels(4), iron_label(2.4, weight=3.0))
    taken = writer.archive.snapshot()
    data = writer.archive.read(taken.id)
    write_npz(data, writer.archive.rows_of(taken), tmp_path / "a.npz")
    again = read_labels(tmp_path / "a.npz")
    for name in ("intensity", "energy", "weights", "names", "groups"):
        np.testing.assert_array_equal(getattr(data, name), getattr(again, name))
    np.testing.assert_array_equal(data.batch.positions, again.batch.positions)
    assert (again.element, again.edge, again.theory) == ("Fe", "K", "FDMNES")
    with pytest.raises(OutputExists):
        write_npz(data, writer.archive.rows_of(taken), tmp_path / "a.npz")


def test_a_material_is_the_group_where_labels_name_it(writer: ArchiveWriter) -> None:
    store(writer, iron_label(2.0, group="mp-1"), iron_label(2.1))
    data = writer.archive.read(writer.archive.snapshot().id)
    assert data.groups.tolist() == ["mp-1", "Fe1O6"]
    assert data.grouped_by == "material or formula"


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(np.float64(spectrum(2.0)[30]).tobytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_damaged_file_is_found(writer: ArchiveWriter) -> None:
    store(writer, iron_label(2.0), iron_label(2.1))
    taken = writer.archive.snapshot()
    damage(next(writer.archive.folder.glob("*.h5")))
    (fault,) = writer.archive.verify()
    assert "label 0 (octahedron 2) is not what was stored" in fault
    with pytest.raises(BadLabels, match="not what they were"):
        writer.archive.read(taken.id)


def test_a_missing_file_is_named(writer: ArchiveWriter) -> None:
    for label in iron_labels(3):
        store(writer, label)
    (writer.archive.folder / "000000001-000000002.h5").unlink()
    with pytest.raises(BadLabels, match="labels 1 to 1 are missing"):
        LabelArchive(writer.archive.folder)


def test_a_file_that_is_cut_short_is_named(writer: ArchiveWriter) -> None:
    store(writer, iron_label())
    path = writer.archive.folder / "000000000-000000001.h5"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadLabels, match="no whole file of labels"):
        LabelArchive(writer.archive.folder)


def test_who_reads_sees_what_was_appended_and_merged(
    writer: ArchiveWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_writer, "MERGED", 4)
    reader = LabelArchive(writer.archive.folder)
    labels = iron_labels(30)
    for label in labels:
        store(writer, label)
        reader.refresh()
    assert reader.labels(((3, 5), (20, 22))) == [*labels[3:5], *labels[20:22]]
    assert reader.rows == LabelArchive(writer.archive.folder).rows


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may be larger than this process may write: as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_acknowledges_nothing(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    stream = MemoryLabelStream()
    archivist = Archivist(stream, tmp_path / "labels")
    stream.push([encode(label) for label in iron_labels(4)])
    request.getfixturevalue("small_disk")
    with pytest.raises(StorageFailed):
        archivist.step(block_s=0)
    archivist.close()
    assert stream.state().waiting == 4
    assert len(LabelArchive(tmp_path / "labels")) == 0


def test_what_is_no_label_is_kept_with_its_reason(tmp_path: Path) -> None:
    stream = MemoryLabelStream()
    archivist = Archivist(stream, tmp_path / "labels")
    stream.push([b"no label", encode(iron_label()), b"nor this"])
    told = archivist.step(block_s=0)
    assert [t.outcome for t in told] == ["new"]
    state = stream.state()
    assert (state.waiting, state.outcomes["refused"], state.outcomes["new"]) == (0, 2, 1)
    assert b"not a message of edgestream" in state.notices[0]
    kept = [letter for _, letter in records(tmp_path / "labels" / REFUSED)]
    assert len(kept) == 2
    assert b"no label" in kept[0]
    archivist.close()


def test_the_gate_gets_what_it_asks_for(writer: ArchiveWriter) -> None:
    labels: list[Any] = [iron_label(1.9 + i / 50, source=f"batch {i % 2}") for i in range(6)]
    store(writer, *labels)
    refused = [row.sha256 for row in writer.archive.rows if row.source == "batch 1"]
    taken = writer.archive.snapshot(without=refused)
    assert [row.source for row in writer.archive.rows_of(taken)] == ["batch 0"] * 3
    assert taken.numbers() == [0, 2, 4]


def test_structures_are_those_that_were_pushed(writer: ArchiveWriter) -> None:
    store(writer, iron_label(2.0))
    data = writer.archive.read(writer.archive.snapshot().id)
    np.testing.assert_array_equal(data.batch.positions, octahedron(2.0).positions + 0.0)
    assert data.sites.atom.tolist() == [0]
