"""How a command ends: with one line on standard error and an exit code for every known error."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NoReturn

from stream.log import Words
from stream.service import say
from xas.errors import EdgestreamError, RightsMissing, ServerUnreachable


def end_well(command: Callable[[], object], *, debug: bool = False) -> None:
    """Run a command; what it raises becomes its last line, or with ``debug`` a traceback."""
    try:
        command()
    except EdgestreamError as error:
        if debug:
            raise
        fail(error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(0) from None
    except Exception as error:
        if debug:
            raise
        name = type(error).__name__
        fail(EdgestreamError(f"a defect ({name}: {error}); --debug shows where: please report it"))


def fail(error: EdgestreamError) -> NoReturn:
    """Say it in one line and end with its exit code."""
    line = " ".join(str(error).split())
    if isinstance(error, ServerUnreachable) and not isinstance(error, RightsMissing):
        line = (
            line.rstrip(".")
            + "; start one: edgestream serve --out DIR, or name one that runs: --redis-url URL"
        )
    say(Words(f"edgestream: {line}", level="error"))
    raise SystemExit(error.exit_code)
