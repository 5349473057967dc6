"""Every command of ``edgestream``, with the place it lives in; imported when it is called.

So ``edgestream --help`` imports none of them, and ``edgestream predict`` only its own. A new
command is a line here.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from itertools import chain
from typing import Any

import typer
from typer.core import TyperGroup

Click = Any  # the commands of the library that typer is made of, which it does not name in public

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Spectra": {
        "predict": ("frame_commands:predict", "Spectra of structures: a table, a picture or JSON."),
        "run": ("frame_commands:run", "Spectra of a trajectory, into a result file."),
        "match": ("frame_commands:match", "Compare a measured spectrum with a predicted one."),
        "replay": ("replay_command:replay", "Predict a recorded run again, with any model."),
        "runs": ("runs_command:runs_app", "Result files: list, verify, repair and copy them."),
        "demo": ("frame_commands:demo", "A trajectory that comes with edgestream, live."),
    },
    "A live service": {
        "serve": ("service_commands:serve", "Server, workers, writer and live page, here."),
        "push": ("frame_commands:push", "Push a trajectory into a running service."),
        "status": ("service_commands:status", "Runs, backlog, workers; trouble, with its remedy."),
        "dashboard": ("dashboard_command:dashboard", "The live page, in a browser."),
        "dlq": ("dlq_command:dlq_app", "Dead letters: frames that have no spectrum, and why."),
        "pause": ("drain_command:pause", "Hold back the producer of one run."),
        "resume": ("drain_command:resume", "Let the producer of a paused run push again."),
        "discard": ("discard_command:discard", "Forget a run that the writer refuses."),
    },
    "Models that learn": {
        "models": ("model_commands:models_app", "Models: list, show, compare, promote, roll back."),
        "train": ("train_command:train", "Fit a model, and say how good it is on unseen groups."),
        "explain": ("explain_command:explain", "Which features a model needs, and where."),
        "label": ("label_command:label_app", "Structures with reference spectra, to learn from."),
        "archive": ("archive_command:archive_app", "The archive of labels and its snapshots."),
        "ask": ("labeller_command:ask", "Ask for labels of what the champion knows least."),
        "labeller": ("labeller_command:labeller", "Answer these with a theory code."),
        "trainer": ("trainer_command:trainer", "Learn new labels, judge, promote what is better."),
        "jobs": ("jobs_command:jobs_app", "Jobs that wait, run and have ended."),
    },
    "Operation": {
        "worker": ("service_commands:worker", "One worker, on any host that reaches the server."),
        "writer": ("service_commands:writer", "The writer of the result files."),
        "drain": ("drain_command:drain", "Empty the service before maintenance."),
        "acl": ("acl_command:acl", "The server's file of roles and rights."),
        "exporter": ("exporter_command:exporter", "Give Prometheus what the server knows."),
        "metrics": ("metrics_command:metrics", "List what processes tell Prometheus."),
        "bench": ("bench_command:bench", "Measure how fast it is here."),
    },
}


class CommandsOnDemand(MutableMapping[str, Click]):
    """The commands by name; a look at one imports it."""

    def __init__(self) -> None:
        self._places = {
            name: place for lines in SECTIONS.values() for name, (place, _) in lines.items()
        }
        self._loaded: dict[str, Click] = {}

    def __getitem__(self, name: str) -> Click:
        if name not in self._loaded:
            self._loaded[name] = load(name, self._places[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Click) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._places[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def load(name: str, place: str) -> Click:
    """The command at ``MODULE:NAME`` of this package: a function, or a group of its own."""
    module, _, word = place.partition(":")
    found = getattr(import_module(f"edgestream.{module}"), word)
    shelf = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        shelf.add_typer(found, name=name, no_args_is_help=True)
    else:
        shelf.command(name)(found)
    return typer.main.get_group(shelf).commands[name]


class CommandTable(TyperGroup):
    """The group ``edgestream``: its help says the table's lines, and imports nothing for them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = CommandsOnDemand()

    def format_commands(self, ctx: Click, formatter: Click) -> None:
        """The commands by section, each name in the same width."""
        del ctx
        width = max(map(len, chain.from_iterable(SECTIONS.values())))
        for title, lines in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:{width}}", line) for name, (_, line) in lines.items()])
