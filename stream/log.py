"""What services say: lines for people or, on request, JSON with run, index and model.

A line is a str wherever it goes; ``Words`` is one that also carries facts. How a process speaks is
set once, where it starts: by the command line, from --log-json or $EDGESTREAM_LOG.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

LOG_VARIABLE = "EDGESTREAM_LOG"
_process = ""  # of what kind this one is, where it speaks JSON


class Words(str):
    """A line with facts about it: run, index, model, and ``level`` where it is not info."""

    facts: dict[str, Any]

    def __new__(cls, line: str, **facts: Any) -> Words:
        """The line, and facts by name."""
        words = super().__new__(cls, line)
        words.facts = facts
        return words


def facts(line: str) -> dict[str, Any]:
    """What a line carries beside its words."""
    return dict(line.facts) if isinstance(line, Words) else {}


def speaks_json() -> bool:
    """Whether this process does."""
    return bool(_process)


def speak_json(process: str) -> None:
    """From now on this process, a ``worker`` or the like, speaks JSON, libraries included."""
    global _process
    _process = process
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def written(line: str) -> str:
    """The line as it is to stand in the log."""
    if not _process:
        return line
    told = {"level": "info", "process": _process, "pid": os.getpid(), **facts(line)}
    told.setdefault("time", datetime.now(UTC).isoformat(timespec="milliseconds"))
    return json.dumps({"time": told.pop("time"), **told, "message": str(line)}, default=str)


def heard(line: str) -> str:
    """Inverse of ``written`` for a line in JSON, of a child of ours; any other as it is."""
    if line.startswith('{"time": '):
        try:
            told = json.loads(line)
            return Words(told.pop("message"), **told)
        except (ValueError, KeyError, AttributeError):
            pass
    return line


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        words = Words(record.getMessage(), level=record.levelname.lower(), logger=record.name)
        return written(words)
