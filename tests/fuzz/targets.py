"""Everything that takes bytes of strangers, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bundle_targets import check_inputs, manifests, networks
from record_targets import letter_files, records
from result_file_targets import kept_answers, result_files
from target import Target
from trajectory_targets import TRAJECTORIES, measured
from wire_targets import answers, labels, messages, structures

TARGETS: dict[str, Callable[[Path], Target]] = {
    "messages": messages,
    "labels": labels,
    "structures": structures,
    "answers": answers,
    "kept-answers": kept_answers,
    "records": records,
    "letters": letter_files,
    "manifest": manifests,
    "network": networks,
    "check-input": check_inputs,
    "result-file": result_files,
    "measured": measured,
    **TRAJECTORIES,
}
"""``make``: given a folder of its own, the target."""
