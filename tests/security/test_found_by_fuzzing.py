"""What fuzzing found, each in the smallest form: a clear error, and this process lives."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zipfile
from pathlib import Path

import h5py
import msgspec
import numpy as np
import onnx
import pytest
from bundles import ENERGY, iron_oxides, make_bundle
from chemfiles import Atom, Frame
from chemfiles import Trajectory as Written
from iron_labels import iron_label
from onnx import helper, numpy_helper

from edgestream.prediction import open_run
from model_store.bundle import Bundle, open_bundle
from model_store.manifest import CHECK, MANIFEST, MODEL
from model_store.runtime import INPUT, Session
from stream.codec import Array, encode
from stream.labels import read_label
from stream.messages import MAX_BLOCK_FRAMES, ModelRecord
from stream.producer import _blocks
from stream.sources import chemfiles_frames
from stream.sources.label_options import LabelOptions
from stream.sources.measured import read_measured
from stream.sources.npz_labels import read_npz
from stream.sources.trajectory import open_trajectory
from xas.errors import (
    BadLabels,
    BadMessage,
    BadModel,
    BadResultFile,
    BadSpectrum,
    BadTrajectory,
    Reject,
)
from xas.structure import StructureBatch


def put(bundle: Bundle, name: str, data: bytes) -> Bundle:
    """The bundle with another file in it, whose hash is right."""
    manifest = bundle.folder / MANIFEST
    words = json.loads(manifest.read_bytes())
    words["files"][name] = hashlib.sha256(data).hexdigest()
    manifest.write_text(json.dumps(words))
    (bundle.folder / name).write_bytes(data)
    return open_bundle(bundle.folder)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "tiny")


def test_a_manifest_that_is_no_text(bundle: Bundle) -> None:
    path = bundle.folder / MANIFEST
    path.write_bytes(path.read_bytes().replace(b'"Fe"', b'"\x80"'))
    with pytest.raises(BadModel, match="not a manifest"):
        open_bundle(bundle.folder)


@pytest.mark.parametrize("place", [0, 30, 200, -10, -1])
def test_a_damaged_check_input(bundle: Bundle, place: int) -> None:
    data = bytearray((bundle.folder / CHECK).read_bytes())
    data[place] ^= 255
    with pytest.raises(BadModel, match="not a check input"):
        put(bundle, CHECK, bytes(data[: len(data) // 2])).check()


HUGE = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }" % 10**14
HEADERS = [b"{'shape': (1 e, 'shape': (1", b"((((((((((", b"{'descr': [[[['<f4']]]]}", HUGE]


@pytest.mark.parametrize("header", HEADERS)
def test_an_array_whose_head_is_no_python(bundle: Bundle, header: bytes) -> None:
    file, head = io.BytesIO(), header.ljust(117) + b"\n"
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("numbers.npy", b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head)
    with pytest.raises(BadModel, match="not a check input"):
        put(bundle, CHECK, file.getvalue()).check()
    (path := bundle.folder / "labels.npz").write_bytes(file.getvalue())
    with pytest.raises(BadLabels, match="not an npz file"):
        next(read_npz(path, LabelOptions(theory="made")))


def test_a_check_input_that_unpacks_to_gigabytes(bundle: Bundle) -> None:
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed,
        packed.open("numbers.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(100):
            member.write(bytes(1 << 20))
    assert len(file.getvalue()) < 1 << 20
    with pytest.raises(BadModel, match="unpacks to 100 MiB"):
        put(bundle, CHECK, file.getvalue()).check()


def test_a_network_that_fails_as_it_runs(bundle: Bundle) -> None:
    model = onnx.load(bundle.folder / MODEL)
    model.graph.initializer.append(numpy_helper.from_array(np.array([7]), "times"))
    model.graph.node.append(helper.make_node("Tile", ["novelty", "times"], ["many"]))
    model.graph.node.append(helper.make_node("Add", ["many", "novelty"], ["wrong"]))
    model.graph.output[2].name = "wrong"
    model.graph.output[2].name = "novelty"
    model.graph.node[-3].output[0] = "first"
    model.graph.node[-2].input[0] = model.graph.node[-1].input[1] = "first"
    model.graph.node[-1].output[0] = "novelty"
    session = Session(put(bundle, MODEL, model.SerializeToString()))
    with pytest.raises(BadModel, match="cannot run it"):
        session.run(np.zeros((3, session._session.get_inputs()[0].shape[1]), np.float32))
    assert INPUT == "features"


def test_a_measured_spectrum_whose_packing_is_damaged(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(b"".join(b"%d 0.1\n" % i for i in range(7000, 7400))))
    data[40:60] = bytes(20)
    (tmp_path / "mu.dat.gz").write_bytes(data)
    with pytest.raises(BadSpectrum, match="cannot be read"):
        read_measured(tmp_path / "mu.dat.gz")


@pytest.mark.parametrize(
    "text", ["1\nProperties=species:S:1:pos:R:³\nFe 0 0 0\n", "1\n\n²147 0 0 0\n"]
)
def test_digits_of_other_alphabets_are_no_numbers(tmp_path: Path, text: str) -> None:
    (tmp_path / "md.xyz").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadTrajectory):
        list(open_trajectory(tmp_path / "md.xyz"))


def write_netcdf(folder: Path, n_frames: int) -> Path:
    """A trajectory of 12 atoms; ``top.xyz`` beside it names them."""
    (folder / "top.xyz").write_text("12\n\n" + "Fe 0 0 0\n" * 12)
    with Written(str(folder / "md.nc"), "w") as out:
        for _ in range(n_frames):
            frame = Frame()
            for position in np.arange(36).reshape(12, 3) / 3:
                frame.add_atom(Atom("Fe"), list(position))
            out.write(frame)
    return folder / "md.nc"


def test_a_netcdf_file_larger_than_the_memory_of_its_reader(tmp_path: Path) -> None:
    """Which maps it: with 8 GiB for all that the child holds it was refused."""
    before, path = write_netcdf(tmp_path, 1).stat().st_size, write_netcdf(tmp_path, 2)
    frame_bytes = path.stat().st_size - before
    n_frames = (9 << 30) // frame_bytes
    with path.open("r+b") as file:
        file.seek(4)
        file.write(n_frames.to_bytes(4, "big"))
        file.truncate(before + (n_frames - 1) * frame_bytes)  # zeros that take no room
    with open_trajectory(path, topology=tmp_path / "top.xyz") as source:
        assert source.n_frames_hint == n_frames
        assert next(source).structures.positions[11, 2] == np.float32(35 / 3)


def test_a_netcdf_file_that_does_not_know_its_frames(tmp_path: Path) -> None:
    data = bytearray(write_netcdf(tmp_path, 2).read_bytes())
    data[4:8] = b"\xff" * 4  # "streaming"
    (tmp_path / "md.nc").write_bytes(data)
    with pytest.raises(BadTrajectory, match="declares 18446744073709551615 frames"):
        open_trajectory(tmp_path / "md.nc", topology=tmp_path / "top.xyz")


@pytest.mark.parametrize(("place", "value"), [(295, 180), (291, 102)])
def test_a_damaged_netcdf_file_ends_the_child_that_reads_it(
    tmp_path: Path, place: int, value: int
) -> None:
    path = write_netcdf(tmp_path, n_frames=2)
    data = bytearray(path.read_bytes())
    data[place] = value
    path.write_bytes(data)
    with pytest.raises(BadTrajectory, match="ended by SIGSEGV: the file is damaged"):
        list(open_trajectory(path, topology=tmp_path / "top.xyz"))


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 1.0], [1.0, np.nan], [1.0, np.inf]])
def test_energies_that_are_no_grid(values: list[float]) -> None:
    record = ModelRecord(
        name="m", version=1, sha256="", element="Fe", edge="K", descriptor="", provider="",
        energy=Array.of(np.array(values)),
    )  # fmt: skip
    with pytest.raises(BadMessage, match="no grid"):
        _ = record.energies
    assert len(ENERGY) > 1


def test_a_block_never_holds_more_frames_than_a_reader_takes() -> None:
    n = 2 * MAX_BLOCK_FRAMES + 1
    nothing = StructureBatch.from_arrays([], np.zeros((0, 3)), np.zeros(n + 1))
    sizes = [part.stop - part.start for part in _blocks(nothing, 10)]
    assert sizes == [MAX_BLOCK_FRAMES, MAX_BLOCK_FRAMES, 1]
    assert len([*_blocks(iron_oxides(3), 4)]) == 3


TRICKS = {
    "rows in another file": lambda file, shape: file.create_dataset(
        "entry/status", shape, "u1", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    ),
    "a link to another file": lambda file, shape: file.__setitem__(
        "entry/status", h5py.ExternalLink("/tmp/other.h5", "/entry/status")
    ),
    "a link in a circle": lambda file, shape: file.__setitem__(
        "entry/status", h5py.SoftLink("/entry/status")
    ),
    "packed rows": lambda file, shape: file.create_dataset(
        "entry/status", shape, "u1", compression="gzip"
    ),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_a_result_file_that_reads_elsewhere_is_none(
    tmp_path: Path, trick: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "result_file"))
    from made_rows import HEADER, RUN, make_rows

    from stream.result_file.run_folder import RunFolder

    run = RunFolder.recover(tmp_path, RUN, header=HEADER, epoch=1, clock=lambda: 1e9, grace_s=0.0)
    run.add_model("fe-k", "1", "ab" * 32)
    run.append(make_rows(0, 4))
    path = run.finish(sealed=True)
    assert len(open_run(path)) == 4
    with h5py.File(path, "r+") as file:
        shape = file["entry/status"].shape
        del file["entry/status"]
        TRICKS[trick](file, shape)
    with pytest.raises(BadResultFile):
        open_run(path)


@pytest.mark.parametrize(
    ("pbc", "error"), [(b"\0\0\0", "periodic in no direction"), (b"\1\2\1", "neither 0 nor 1")]
)
def test_a_label_that_would_come_back_as_another_is_none(pbc: bytes, error: str) -> None:
    """One of them in the archive, and no training took its snapshot for what it was."""
    cell = Array.of(9.0 * np.eye(3))
    label = msgspec.structs.replace(
        iron_label(), cell=cell, pbc=Array("|b1", (3,), memoryview(pbc))
    )
    with pytest.raises(Reject, match=error):
        read_label(encode(label))


PSF_ATOM = "%8d U    1    HOH  FE   FE     0.000000       55.8450           0\n"


def test_a_library_that_does_not_come_back_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it would come back: the limit is a hundredth of what a sound file takes."""
    path, n = tmp_path / "top.psf", 100_000
    atoms = "".join([PSF_ATOM % (i + 1) for i in range(n)])
    path.write_text(f"PSF\n\n       1 !NTITLE\n REMARKS x\n\n{n:8d} !NATOM\n{atoms}\n")
    monkeypatch.setattr(chemfiles_frames, "CPU_S", 0.01)
    monkeypatch.setattr(chemfiles_frames, "BYTES_A_CPU_S", np.inf)
    with pytest.raises(BadTrajectory, match=r"took more than 0\.01 s of processor"):
        list(open_trajectory(path))


def test_a_length_in_a_small_file_takes_no_gigabytes(tmp_path: Path) -> None:
    """Of a name in a NetCDF file: 1.5 GB of zeros were made before the file was found short."""
    (tmp_path / "top.xyz").write_text("1\n\nFe 0 0 0\n")
    dimensions = b"\0\0\0\x0a" + b"\0\0\0\1" + (1_500_000_000).to_bytes(4, "big")
    (tmp_path / "md.nc").write_bytes(b"CDF\2" + bytes(4) + dimensions + b"frame" + bytes(99))
    with pytest.raises(BadTrajectory, match="bad_alloc"):
        list(open_trajectory(tmp_path / "md.nc", topology=tmp_path / "top.xyz"))
