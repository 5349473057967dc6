"""The side file of a model, which is a pickle: read without running anything."""

from __future__ import annotations

import pickle
import struct
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from trainer.importers.saved_tensors import read_object
from trainer.importers.xanesnet_folder import BASIS, BASIS_CLASS, read_basis
from xas.errors import BadModel


def archive(path: Path, data: bytes, parts: dict[str, bytes] | None = None, how: int = 0) -> Path:
    """A file as torch.save writes it, with any pickle in it."""
    with zipfile.ZipFile(path, "w", how) as file:
        file.writestr("any/data.pkl", data)
        for name, content in (parts or {}).items():
            file.writestr(f"any/data/{name}", content)
    return path


def names(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


STAND_IN = b"\x80\x02" + names(*BASIS_CLASS) + b")\x81"
STORAGE = b"(X\x07\x00\x00\x00storage" + names("torch", "FloatStorage")


def tensor(shape: bytes, strides: bytes, *, first: int = 0, count: int = 2) -> bytes:
    """A pickle of {"E": a tensor of storage 0} on the stand-in."""
    storage = STORAGE + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK" + bytes([count]) + b"tQ"
    call = names("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + b"K" + bytes([first])
    return STAND_IN + b"}X\x01\x00\x00\x00E" + call + shape + strides + b"\x89NtRsb."


TWO_FLOATS = {"0": struct.pack("<2f", 1.5, -2.0)}


def test_a_tensor_is_the_bytes_of_its_storage(tmp_path: Path) -> None:
    path = archive(tmp_path / "file", tensor(b"K\x02\x85", b"K\x01\x85"), TWO_FLOATS)
    np.testing.assert_array_equal(read_object(path, BASIS_CLASS)["E"], [1.5, -2.0])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tensor(b"K\x03\x85", b"K\x01\x85"), "beyond its storage"),
        (tensor(b"K\x02\x85", b"K\x01\x85", first=1), "beyond its storage"),
        (tensor(b"K\x02\x85", b"K\x00\x85"), "not contiguous"),
        (tensor(b"J\xff\xff\xff\xff\x85", b"K\x01\x85"), "impossible shape"),
        (tensor(b"(J\xff\xff\xff\x7f]t", b"K\x01\x85"), "impossible shape"),
        (tensor(b"X\x01\x00\x00\x00a", b"K\x01\x85"), "impossible shape"),
        (tensor(b"K\x02\x85", b"K\x01\x85", count=3), "another length"),
        (b"\x80\x02]X\x01\x00\x00\x00xQ.", "not a file of torch.save"),
        (b"\x80\x02}.", "not a file of torch.save|holds no"),
        (b"\x80\x02" + names("collections", "OrderedDict") + b")R.", "holds no GaussianBasis"),
        (b"", "not a file of torch.save"),
        (b"\x80\x02" + b"(" * 1000 + b".", "refused"),
        (b"\x80\x02" + b"]" * 2**21 + b".", "too large"),
    ],
)
def test_what_is_no_tensor_of_the_file_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    path = archive(tmp_path / "file", data, TWO_FLOATS)
    with pytest.raises(BadModel, match=reason) as caught:
        read_object(path, BASIS_CLASS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor"),
        ("torch.storage", "_load_from_bytes"),
        ("collections", "OrderedDict.fromkeys"),
        ("collections", "defaultdict"),
        ("xanesnet.utils.gaussian", "GaussianBasis.forward"),
        ("numpy", "load"),
        ("\x1b[2J", "x"),
    ],
)
@pytest.mark.parametrize("opcode", ["GLOBAL", "STACK_GLOBAL", "INST"])
def test_any_other_name_in_a_pickle_is_refused(
    tmp_path: Path, name: tuple[str, str], opcode: str
) -> None:
    module, attribute = (part.encode() for part in name)
    words = b"".join(b"\x8c" + bytes([len(word)]) + word for word in (module, attribute))
    data = {
        "GLOBAL": b"\x80\x02" + names(*name) + b"X\x04\x00\x00\x00true\x85R.",
        "STACK_GLOBAL": b"\x80\x04" + words + b"\x93X\x04\x00\x00\x00true\x85R.",
        "INST": b"(X\x04\x00\x00\x00truei" + module + b"\n" + attribute + b"\n.",
    }[opcode]
    with pytest.raises(BadModel, match="refused: its pickle asks for") as caught:
        read_object(archive(tmp_path / "file", data), BASIS_CLASS)
    assert str(caught.value).isprintable()


def test_a_class_that_runs_code_when_unpickled_is_not_reached(tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    data = pickle.dumps(_Intruder(mark), protocol=2)
    with pytest.raises(BadModel, match="refused"):
        read_object(archive(tmp_path / "file", data), BASIS_CLASS)
    assert not mark.exists()


class _Intruder:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_one_file_cannot_change_what_the_next_one_reads(tmp_path: Path) -> None:
    change = names("torch._utils", "_rebuild_tensor_v2") + b"N}X\x0c\x00\x00\x00__defaults__Ns\x86b"
    with pytest.raises(BadModel):
        read_object(archive(tmp_path / "first", b"\x80\x02" + change + b"."), BASIS_CLASS)
    test_a_tensor_is_the_bytes_of_its_storage(tmp_path)


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = archive(tmp_path / "bomb", bytes(10**6), how=zipfile.ZIP_DEFLATED)
    with pytest.raises(BadModel, match="compressed"):
        read_object(path, BASIS_CLASS)


def test_numbers_of_another_byte_order_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "file", tensor(b"K\x02\x85", b"K\x01\x85"), TWO_FLOATS)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("any/byteorder", "big")
    with pytest.raises(BadModel, match="not little-endian"):
        read_object(path, BASIS_CLASS)


@pytest.mark.parametrize("data", [b"", b"PK\x05\x06" + bytes(18), bytes(100), b"PK\x03\x04"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(BadModel):
        read_object(tmp_path / "file", BASIS_CLASS)


@pytest.fixture
def basis_class(monkeypatch: pytest.MonkeyPatch) -> type:
    """The class of the side file, as the original program has it: a torch module with buffers."""
    torch = pytest.importorskip("torch")
    found = type(BASIS_CLASS[1], (torch.nn.Module,), {"__module__": BASIS_CLASS[0]})
    for name in ("xanesnet", "xanesnet.utils", BASIS_CLASS[0]):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    setattr(sys.modules[BASIS_CLASS[0]], BASIS_CLASS[1], found)
    return found


@pytest.mark.train
@pytest.mark.parametrize(
    ("energy", "phi", "reason"),
    [
        ([1.0, 2.0], [[1.0], [1.0]], None),
        ([1.0, 2.0], [[1.0]], "no grid and basis"),
        ([2.0, 1.0], [[1.0], [1.0]], "do not rise"),
        ([1.0, float("nan")], [[1.0], [1.0]], "not finite"),
        ([1.0, 2.0], [[1.0], [float("inf")]], "Phi is not finite"),
    ],
)
def test_the_buffers_of_a_side_file_are_checked(
    tmp_path: Path, basis_class: type, energy: Any, phi: Any, reason: str | None
) -> None:
    import torch

    basis = basis_class()
    basis.register_buffer("E", torch.tensor(energy))
    basis.register_buffer("Phi", torch.tensor(phi))
    torch.save(basis, tmp_path / BASIS)
    if reason is None:
        found = read_basis(tmp_path)
        assert found is not None
        assert found.energy == (1.0, 2.0)
        return
    with pytest.raises(BadModel, match=reason):
        read_basis(tmp_path)
