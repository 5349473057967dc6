"""What the server says of itself, asked over its private socket in one plain line."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path


def server_info(path: Path, section: str) -> Mapping[str, str]:
    """One section of INFO: its fields as they stand there."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(f"INFO {section}\r\n".encode())
        with connection.makefile("rb") as answer:
            length = int(answer.readline()[1:])
            return dict(_fields(answer.read(length).decode()))


def _fields(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            yield name, value


def command_microseconds(path: Path) -> dict[str, float]:
    """Time within each command since the server began; a script's inner commands count twice."""
    return {
        name.removeprefix("cmdstat_"): float(_counts(words)["usec"])
        for name, words in server_info(path, "commandstats").items()
    }


def _counts(words: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in words.split(","))
