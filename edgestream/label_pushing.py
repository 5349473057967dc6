"""Files of labels into a running service: what is a label goes, what is none is named."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgestream.progress import Progress
from stream.codec import encode
from stream.label_stream import LABELS_AT_A_TIME, LabelStream, push_patiently
from stream.labels import Label
from stream.sources.label_files import label_count, read_labels_of_file
from stream.sources.label_options import LabelOptions, NoLabel
from stream.sources.trajectory import open_trajectory
from xas.errors import BadLabels
from xas.structure import StructureBatch

TOLD = 5  # of each file; --json has all


@dataclass(frozen=True, kw_only=True)
class LabelsPushed:
    """What ``edgestream label push`` says at its end. refused: what is no label, and why."""

    labels: int
    refused: list[dict[str, str]] = field(default_factory=list)
    interrupted: bool = False


def push_label_files(
    files: Sequence[Path],
    options: LabelOptions,
    stream: LabelStream | None,
    *,
    deadline_s: float,
    progress: Progress,
    stop: threading.Event,
) -> LabelsPushed:
    """Push the labels of files and folders; the server has each that was counted.

    stream None: only look whether they are labels. Backpressure where the service takes none for
    ``deadline_s``, ServerUnreachable; to push the same files again is harmless.
    """
    total = sum(label_count(path) for path in files)
    pushed = 0
    refused: list[dict[str, str]] = []
    for labels in _batches(files, options, refused, progress):
        if stop.is_set():
            return LabelsPushed(labels=pushed, refused=refused, interrupted=True)
        if stream is not None:
            payloads = [encode(label) for label in labels]
            push_patiently(stream, payloads, deadline_s=deadline_s, wait=_pause(stop))
        pushed += len(labels)
        progress.update(pushed + len(refused), total)
    return LabelsPushed(labels=pushed, refused=refused)


def _pause(stop: threading.Event) -> Callable[[float], None]:
    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise KeyboardInterrupt

    return pause


def _batches(
    files: Sequence[Path],
    options: LabelOptions,
    refused: list[dict[str, str]],
    progress: Progress,
) -> Iterator[list[Label]]:
    batch: list[Label] = []
    for path in files:
        told = 0
        for found in read_labels_of_file(path, options):
            if isinstance(found, NoLabel):
                refused.append({"file": str(path), "label": found.name, "reason": found.reason})
                told += 1
                if told <= TOLD:
                    progress.tell(_line(path, found))
                continue
            batch.append(found)
            if len(batch) == LABELS_AT_A_TIME:
                yield batch
                batch = []
        if told > TOLD:
            progress.tell(f"{path}: {told - TOLD} more are no labels (--json names all)")
    if batch:
        yield batch


def _line(path: Path, found: NoLabel) -> str:
    if found.name != str(path):
        return f"{path}: {found.name}: {found.reason}"
    return found.reason if str(path) in found.reason else f"{path}: {found.reason}"


def read_structure(path: Path) -> StructureBatch:
    """The first structure of a structure or trajectory file; BadTrajectory, BadLabels."""
    with open_trajectory(path) as source:
        for chunk in source:
            return chunk.structures[0:1]
    raise BadLabels(f"{path}: holds no structure")
