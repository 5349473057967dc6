"""Result files of strangers, given to `open_run`."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from random import Random

import h5py
import numpy as np
from bundles import ENERGY
from made_rows import HEADER, RUN, make_rows
from msgspec.structs import replace
from mutation import FLOATS, NUMBERS, TEXT_WORDS, TEXTS, twisted
from target import Target
from wire_targets import MODEL, WORDS, frames, result
from wire_targets import insane as insane_message

from edgestream.prediction import open_run
from stream.codec import decode, encode
from stream.messages import FrameBlock, ResultBlock
from stream.result_file.layout import STATE
from stream.result_file.reader import RunFile
from stream.result_file.run_folder import RunFolder
from stream.result_rows import UsedModel, rows_of
from xas.errors import BadMessage


def result_files(folder: Path) -> Target:
    """A growing and a finished file, whatever was done to them, and all that is read of them."""
    growing, finished = _made(folder / "growing"), _made(folder / "finished", finish=True)
    path = growing  # the segments of the growing one lie beside

    def look(data: bytes) -> None:
        path.write_bytes(data)
        with RunFile(path) as run:
            read_all(run)

    def whole(data: bytes) -> None:
        path.write_bytes(data)
        with open_run(path) as run:
            read_all(run)

    seeds = [growing.read_bytes(), finished.read_bytes()]
    made = folder / "made.h5"

    def insane(data: bytes, rng: Random) -> bytes:
        # of what is damaged the library itself may die, and nobody looked at it then
        made.write_bytes(data := data if data in seeds else rng.choice(seeds))
        try:
            with h5py.File(made, "r+") as file:
                rng.choice(TRICKS)(file, rng)
        except Exception:  # noqa: BLE001 - a trick that does not work there
            return data
        return made.read_bytes()

    words = (*TEXT_WORDS, b"OHDR", b"OCHK", b"TREE", b"HEAP", b"GCOL", b"\x89HDF\r\n\x1a\n")
    return Target(look=look, seeds=seeds, insane=insane, words=words, whole=whole)


def _made(folder: Path, *, finish: bool = False) -> Path:
    folder.mkdir()
    run = RunFolder.recover(folder, RUN, header=HEADER, epoch=1, clock=lambda: 1.7e9, grace_s=60.0)
    run.add_model("fe-k", "1", "ab" * 32)
    run.append(make_rows(0, 4, dead=(1,)))
    run.append(make_rows(4, 3))
    run.refresh(force=True)
    if finish:
        run.finish(sealed=True)
    return folder / f"{RUN}.h5"


def read_all(run: RunFile) -> None:
    """Everything that a user may ask of a run."""
    _ = (run.average, run.models, run.finished, run.sealed, run.dropped, repr(run), len(run))
    for column in (run.intensity, run.errors, run.normalised()):
        _ = (column[:], column[-1:], column.shape, column.dtype)
    for name in ("frame_index", "times", "status", "novelty", "edge_step", "model_index"):
        getattr(run, name)
    _ = (run.t_pushed, run.t_predicted, run.dead_letters)
    sites = run.sites
    _ = (sites.intensity[:], sites.errors[:])
    if run.header.keep_structures:
        run.structures()


def _state(file: h5py.File, rng: Random) -> None:
    state = json.loads(file[STATE][()])
    del file[STATE]
    file[STATE] = json.dumps(twisted(state, rng))


def _dataset(file: h5py.File, rng: Random) -> str:
    names: list[str] = []
    file.visititems(lambda name, it: names.append(name) if isinstance(it, h5py.Dataset) else None)
    return rng.choice(names)


def _fill(file: h5py.File, rng: Random) -> None:
    dataset = file[_dataset(file, rng)]
    if dataset.dtype.kind in "fiu" and not dataset.is_virtual:
        value = rng.choice(FLOATS if dataset.dtype.kind == "f" else NUMBERS)
        dataset[...] = np.array(value).astype(dataset.dtype)


def _reshape(file: h5py.File, rng: Random) -> None:
    """Another shape or type, most often much larger than what is there."""
    name = _dataset(file, rng)
    shape = rng.choice(((), (0,), (3,), (10**9,), (2**40, 7), (7, 7), (7, 10**6), (1, 1, 1)))
    kind = rng.choice(("<f4", "<f8", "<i8", "u1", "S5", h5py.string_dtype()))
    del file[name]
    chunks = True if rng.random() < 0.5 and shape else None
    file.create_dataset(name, shape, kind, chunks=chunks)


def _elsewhere(file: h5py.File, rng: Random) -> None:
    """Rows that are to be read from somebody else's file."""
    name = _dataset(file, rng)
    shape, kind = file[name].shape or (7,), file[name].dtype
    del file[name]
    place = rng.choice(
        ("/etc/passwd", "/proc/self/environ", "../finished/md-300K.h5", "md-300K.h5")
    )
    way = rng.randrange(3)
    if way == 0:
        file.create_dataset(name, shape, "u1", external=[(place, 0, h5py.h5f.UNLIMITED)])
    elif way == 1:
        layout = h5py.VirtualLayout(shape, kind)
        layout[...] = h5py.VirtualSource(place, f"/{name}", shape)
        file.create_virtual_dataset(name, layout)
    else:
        file[name] = h5py.ExternalLink(place, f"/{name}")


def _link(file: h5py.File, rng: Random) -> None:
    """A name that leads to another place, or round in a circle."""
    name = _dataset(file, rng)
    del file[name]
    file[name] = h5py.SoftLink(rng.choice((f"/{name}", "/entry", "/entry/energy", "/nothing")))


def _remove(file: h5py.File, rng: Random) -> None:
    del file[_dataset(file, rng)]


def _compress(file: h5py.File, rng: Random) -> None:
    """A column that takes little on disk and much in memory."""
    name = _dataset(file, rng)
    shape = (10**8,) if rng.random() < 0.5 else file[name].shape or (1,)
    kind = file[name].dtype
    del file[name]
    made = file.create_dataset(name, shape, kind, chunks=(min(shape[0], 10**6), *shape[1:]),
                               compression="gzip")  # fmt: skip
    if shape[0] < 10**6:
        made[...] = np.zeros(shape, kind)


def _attribute(file: h5py.File, rng: Random) -> None:
    file[rng.choice(("/", "entry", "entry/energy"))].attrs["units"] = rng.choice(TEXTS)


TRICKS = (_state, _state, _fill, _fill, _reshape, _elsewhere, _link, _remove, _compress, _attribute)


def kept_answers(folder: Path) -> Target:
    """A worker's answer, up to the finished file that a reader opens."""
    pushed = encode(replace(decode(frames(), FrameBlock), first=0))
    models = {MODEL: UsedModel(0, ENERGY)}
    header = dataclasses.replace(HEADER, energy=ENERGY)

    def look(data: bytes) -> None:
        answer = decode(data, ResultBlock)
        rows = rows_of([(answer, [pushed])], ENERGY, models, keep_structures=True)
        if rows.first_index:
            raise BadMessage("of other frames: the writer asks before")
        with tempfile.TemporaryDirectory(dir=folder) as place:
            run = RunFolder.recover(
                Path(place), RUN, header=header, epoch=1, clock=lambda: 1.7e9, grace_s=0.0
            )
            run.add_model("tiny", "1", MODEL)
            run.append(rows)
            with RunFile(run.finish(sealed=True)) as kept:
                read_all(kept)

    seeds = [
        encode(replace(decode(data, ResultBlock), first=0))
        for data in (result(), result(taken=True))
    ]
    return Target(look=look, seeds=seeds, insane=insane_message, words=WORDS)
