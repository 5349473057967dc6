"""``python -m edgestream.child``: one role of the service, or of its trainer.

The same as the commands, but without what only people need: no command line library is loaded, and
of edgestream only what the role uses. Worker, writer and page end with standard input, whose other
end their parent holds; the server is $EDGESTREAM_URL, which may hold a password.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from edgestream.ending import end_well
from edgestream.settings_words import settings_from_options
from stream.log import LOG_VARIABLE, speak_json


def main() -> None:
    """Run one role until it is told to stop."""
    words = _parser().parse_args()
    if os.environ.get(LOG_VARIABLE) == "json":
        speak_json(words.role)
    end_well(lambda: ROLES[words.role](words))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edgestream.child", allow_abbrev=False)
    parser.add_argument("role", choices=tuple(ROLES))
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--models")
    parser.add_argument("--name", default="worker")
    parser.add_argument("--metrics-port")
    parser.add_argument("--theory", default="")
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--allow-host", action="append", default=[])
    parser.add_argument("--operator-token-file", type=Path)
    parser.add_argument("--open", action="store_true")
    return parser


def work(words: argparse.Namespace) -> None:
    """A worker."""
    from edgestream.worker_process import run_worker

    run_worker(
        os.environ["EDGESTREAM_URL"],
        device=words.device,
        models=words.models,
        name=words.name,
        metrics=words.metrics_port,
        settings=settings_from_options(words.set),
        follow_parent=True,
    )


def write(words: argparse.Namespace) -> None:
    """A writer of the first shard."""
    from edgestream.writer_process import run_writer

    settings = settings_from_options(words.set)
    url = os.environ["EDGESTREAM_URL"]
    run_writer(
        url,
        words.out,
        shard=0,
        settings=settings,
        follow_parent=True,
        metrics=words.metrics_port,
    )


def show(words: argparse.Namespace) -> None:
    """The live page."""
    from edgestream.dashboard.page_options import PageOptions
    from edgestream.dashboard.page_process import run_page
    from edgestream.dashboard.places import Places
    from edgestream.passwords import jobs_server

    settings = settings_from_options(words.set)
    url = os.environ["EDGESTREAM_URL"]
    run_page(
        Places(
            url=url,
            out=words.out,
            models=words.models,
            settings=settings,
            jobs_url=jobs_server(),
        ),
        PageOptions(
            host=words.host,
            port=words.port,
            strict=words.strict,
            names=tuple(words.allow_host),
            token_file=words.operator_token_file,
            open_browser=words.open,
        ),
        follow_parent=True,
    )


def isolate(words: argparse.Namespace) -> None:
    """The child in which a worker tries suspicious frames."""
    from edgestream.worker_process import run_isolated

    run_isolated(device=words.device, models=words.models)


def jobs(words: argparse.Namespace) -> None:
    """Does the trainer's jobs; ``--out`` is the archive."""
    from edgestream.training_process import do_jobs

    do_jobs(words.out, words.models)


def train(words: argparse.Namespace) -> None:
    """One training; ``--out`` is its folder."""
    from edgestream.training_process import do_training

    do_training(words.out, words.models, who="trainer")


def label(words: argparse.Namespace) -> None:
    """Does the labeller's jobs; ``--out`` is the archive, ``--theory`` its settings as JSON."""
    import msgspec

    from edgestream.labelling_process import do_labelling
    from trainer.labelling_task import TheorySettings

    do_labelling(words.out, msgspec.json.decode(words.theory, type=TheorySettings))


ROLES = {
    "worker": work,
    "writer": write,
    "page": show,
    "isolated": isolate,
    "jobs": jobs,
    "training": train,
    "labelling": label,
}


if __name__ == "__main__":
    main()
