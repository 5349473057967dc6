"""The command line: what stands before a command, and how it ends; commands: `command_table`."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from edgestream.command_table import CommandTable
from edgestream.ending import end_well
from stream.log import LOG_VARIABLE, speak_json

app = typer.Typer(
    name="edgestream",
    cls=CommandTable,
    help="X-ray absorption spectra predicted from atomic structures while they still arrive.\n\n"
    "Begin with:  edgestream run md.extxyz --model fe-k -o md.h5 --plot md.png",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help costs half the time of a framed one
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def say_version(wanted: bool) -> None:
    """The version, and which kernel computes descriptors here: c, or the slow numpy."""
    if wanted:
        from stream.writer import program_version
        from xas.wacsf import kernel_name

        typer.echo(f"edgestream {program_version()}, descriptors by {kernel_name()}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=say_version, is_eager=True, help="Say it and end."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error comes from, in any command.")
    ] = False,
    log_json: Annotated[
        bool,
        typer.Option(
            "--log-json",
            help="Speak JSON on standard error, in any command ($EDGESTREAM_LOG=json).",
        ),
    ] = False,
) -> None:
    """See the app's help."""
    del version, debug, log_json  # main() has looked for them, wherever they stand


def main() -> None:
    """Run the command line."""
    debug, log_json = (_taken(word) for word in ("--debug", "--log-json"))
    if log_json or os.environ.get(LOG_VARIABLE) == "json":
        speak_json(next((word for word in sys.argv[1:] if not word.startswith("-")), "edgestream"))
    end_well(lambda: app(standalone_mode=True), debug=debug)


def _taken(word: str) -> bool:
    """Whether a word stands anywhere on the command line, from which it is taken."""
    found = word in sys.argv
    if found:
        sys.argv.remove(word)
    return found
