"""The command line. Every command is thin: it reads its options and calls a room of the house.

Heavy imports are inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from xas.errors import EdgestreamError, Reject

if TYPE_CHECKING:
    from edgestream.feeding import Trajectory
    from stream.messages import RunSpec
    from stream.settings import Settings

app = typer.Typer(
    name="edgestream",
    help="X-ray absorption spectra predicted from atomic structures while they still arrive.\n\n"
    "Begin with:  edgestream run md.extxyz --model fe-k -o md.h5 --plot md.png",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(help="What models there are, how good, trained on what.")
app.add_typer(models_app, name="models", no_args_is_help=True)

DEFAULT_URL = "redis://127.0.0.1:6379"
URL_HELP = (
    f"Server, e.g. redis://host:6379 or unix:///path. Default: $EDGESTREAM_URL, {DEFAULT_URL}."
)

Url = Annotated[str | None, typer.Option("--redis-url", help=URL_HELP)]
OwnUrl = Annotated[
    str | None, typer.Option("--redis-url", help="Use this server instead of one of our own.")
]
Model = Annotated[str, typer.Option("--model", "-m", help="NAME, NAME@VERSION or a bundle folder.")]
Models = Annotated[
    Path | None, typer.Option("--models", help="Folder of models before the built-in ones.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Plot = Annotated[Path | None, typer.Option(help="Draw to this file (.png, .pdf, .svg).")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="NAME=NUMBER: a setting of the service.")
]
FollowParent = Annotated[
    bool, typer.Option("--follow-parent", hidden=True, help="Stop when standard input ends.")
]
Absorber = Annotated[
    str | None,
    typer.Option(help="Element (Fe) or atom indices (0,17). Default: the model's element."),
]
Every = Annotated[int, typer.Option(min=1, help="Take every N-th frame.")]
Timestep = Annotated[
    str | None, typer.Option(help="Time between frames, e.g. 4fs or 0.5ps, if the file has none.")
]
Topology = Annotated[
    Path | None, typer.Option(help="Structure file with the elements, for DCD and XTC.")
]
Types = Annotated[str | None, typer.Option(help="Elements of LAMMPS types, e.g. 1=Fe,2=O.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where the run stopped.")]
RunName = Annotated[
    str, typer.Option("--run", help="Name of the run: letters, digits, '.', '_', '-'.")
]
Title = Annotated[str, typer.Option(help="Title in the result file.")]
Sample = Annotated[str, typer.Option(help="Name of the sample in the result file.")]
NoStructures = Annotated[
    bool, typer.Option("--no-structures", help="Do not keep the structures in the result file.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


def main() -> None:
    """Run the command line; one line on standard error and an exit code for every known error."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app(standalone_mode=True)
    except EdgestreamError as error:
        if debug:
            raise
        fail(error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(0) from None


def fail(error: EdgestreamError) -> NoReturn:
    """Say it in one line and end with its exit code."""
    line = " ".join(str(error).split())
    print(f"edgestream: {line}", file=sys.stderr)  # noqa: T201
    raise SystemExit(error.exit_code)


def server_url(url: str | None) -> str:
    """The server that was asked for."""
    return url or os.environ.get("EDGESTREAM_URL") or DEFAULT_URL


def settings_of(words: list[str] | None) -> Settings:
    """Settings with what ``--set`` changes."""
    from edgestream.local import settings_from_options

    return settings_from_options(words or [])


def trajectory_of(
    path: str,
    every: int,
    timestep: str | None,
    topology: Path | None,
    types: str | None,
    absorber: str | None,
) -> Trajectory:
    """What the options say about reading."""
    from edgestream.feeding import Trajectory
    from edgestream.quantities import atom_indices, lammps_types, time_fs

    return Trajectory(
        path=path,
        every=every,
        timestep_fs=None if timestep is None else time_fs(timestep),
        topology=topology,
        types=None if types is None else lammps_types(types),
        absorbers=atom_indices(absorber),
    )


def spec_of(
    model: str, absorber: str | None, title: str, sample: str, priority: str, structures: bool
) -> RunSpec:
    """What the options say about a run."""
    from edgestream.quantities import element_or_none
    from stream.messages import RunSpec

    return RunSpec(
        model=model,
        absorber=element_or_none(absorber),
        priority=priority,
        title=title,
        sample=sample,
        keep_structures=structures,
    )


@app.command()
def run(
    trajectory: Annotated[str, typer.Argument(help="Trajectory file, or - for extxyz on stdin.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Result file, NAME.h5.")],
    model: Model = "fe-k",
    plot: Plot = None,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes. Default: cores - 1.")
    ] = None,
    redis_url: OwnUrl = None,
    every: Every = 1,
    timestep: Timestep = None,
    topology: Topology = None,
    types: Types = None,
    absorber: Absorber = None,
    resume: Resume = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    title: Title = "",
    sample: Sample = "",
    no_structures: NoStructures = False,
    device: Device = "cpu",
    models: Models = None,
    redis_server: Annotated[
        str | None, typer.Option(help="Binary of the server to start instead of the bundled one.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder for the server's data. Default: a temporary one.")
    ] = None,
    set_: Set = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Predict the spectra of a trajectory into a result file that opens at any moment.

    Reads xyz, extxyz, traj, XDATCAR, LAMMPS dumps, DCD and XTC, plain or gzipped. Starts a server,
    workers and a writer of its own. Ctrl-C finishes the file; --resume goes on from there.
    """
    from edgestream.local import ServiceOptions
    from edgestream.progress import show_progress
    from edgestream.run_command import RunRequest, run_trajectory
    from edgestream.tables import print_summary
    from stream.service import StopSignal

    request = RunRequest(
        trajectory=trajectory_of(trajectory, every, timestep, topology, types, absorber),
        out=out,
        spec=spec_of(model, absorber, title, sample, "bulk", not no_structures),
        service=ServiceOptions(
            url=redis_url,
            out=out.parent,
            workers=workers,
            device=device,
            models=models,
            server=redis_server,
            data_dir=data_dir,
            settings=settings_of(set_),
        ),
        resume=resume,
        overwrite=overwrite,
    )
    stop = StopSignal().listen()
    with show_progress(request.run, quiet=quiet) as progress:
        summary = run_trajectory(request, progress, stop)
    if plot is not None:
        from edgestream.pictures import draw_run

        draw_run(Path(summary.file), plot)
    print_summary(summary, plot=plot, as_json=as_json)
    if summary.fault:
        raise Reject(summary.fault)
    if summary.interrupted:
        raise SystemExit(130)


@app.command()
def push(
    trajectory: Annotated[str, typer.Argument(help="Trajectory file, or - for extxyz on stdin.")],
    run_name: RunName,
    model: Model = "fe-k",
    redis_url: Url = None,
    every: Every = 1,
    timestep: Timestep = None,
    topology: Topology = None,
    types: Types = None,
    absorber: Absorber = None,
    resume: Resume = False,
    policy: Annotated[
        str, typer.Option(help="Where the service is behind: block, raise or drop.")
    ] = "block",
    priority: Annotated[str, typer.Option(help="live, or bulk for backfills.")] = "live",
    title: Title = "",
    sample: Sample = "",
    no_structures: NoStructures = False,
    set_: Set = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Push a trajectory into a running service and seal the run; does not wait for the spectra."""
    from edgestream.progress import show_progress
    from edgestream.push_command import push_trajectory
    from edgestream.tables import print_json, say_pushed
    from stream.service import StopSignal

    request = trajectory_of(trajectory, every, timestep, topology, types, absorber)
    spec = spec_of(model, absorber, title, sample, priority, not no_structures)
    stop = StopSignal().listen()
    with show_progress(run_name, quiet=quiet) as progress:
        pushed = push_trajectory(
            request,
            run_name,
            spec,
            url=server_url(redis_url),
            settings=settings_of(set_),
            resume=resume,
            policy=policy,
            progress=progress,
            stop=stop,
        )
    if as_json:
        print_json(pushed)
    else:
        say_pushed(pushed)
    if pushed.fault:
        raise Reject(pushed.fault)


@app.command()
def worker(
    redis_url: Url = None,
    device: Device = "cpu",
    models: Models = None,
    name: Annotated[str, typer.Option(help="Name in the status.")] = "worker",
    set_: Set = None,
    follow_parent: FollowParent = False,
) -> None:
    """Predict frames from a server until stopped; SIGTERM finishes the batch in hand."""
    from edgestream.services import run_worker

    run_worker(
        server_url(redis_url),
        device=device,
        models=models,
        name=name,
        settings=settings_of(set_),
        follow_parent=follow_parent,
    )


@app.command(hidden=True)
def isolated(device: Device = "cpu", models: Models = None) -> None:
    """Predict single frames from standard input: the child in which a worker tries suspects."""
    from edgestream.services import run_isolated

    run_isolated(device=device, models=models)


@app.command()
def writer(
    out: Annotated[Path, typer.Option(help="Folder for the result files.")],
    redis_url: Url = None,
    shard: Annotated[int, typer.Option(help="Which shard of the service.")] = 0,
    set_: Set = None,
    follow_parent: FollowParent = False,
) -> None:
    """Write results from a server into files until stopped; only one writer a shard is let in."""
    from edgestream.services import run_writer

    run_writer(
        server_url(redis_url),
        out,
        shard=shard,
        settings=settings_of(set_),
        follow_parent=follow_parent,
    )


@app.command()
def serve(
    out: Annotated[Path, typer.Option(help="Folder for the result files.")],
    port: Annotated[int, typer.Option(help="Port of the server on 127.0.0.1.")] = 6379,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes. Default: cores - 1.")
    ] = None,
    device: Device = "cpu",
    models: Models = None,
    redis_url: OwnUrl = None,
    redis_server: Annotated[
        str | None, typer.Option(help="Binary of the server to start instead of the bundled one.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder for the server's data. Default: OUT/.server.")
    ] = None,
    set_: Set = None,
) -> None:
    """Server, workers and writer on this machine until stopped. Push with another terminal."""
    from edgestream.local import ServiceOptions
    from edgestream.services import run_service

    run_service(
        ServiceOptions(
            url=redis_url,
            out=out,
            workers=workers,
            device=device,
            models=models,
            server=redis_server,
            data_dir=data_dir or out / ".server",
            port=port,
            settings=settings_of(set_),
        )
    )


@app.command()
def status(redis_url: Url = None, as_json: AsJson = False, set_: Set = None) -> None:
    """Runs, backlog, workers, rates and failures, in plain words."""
    from edgestream.status import look
    from edgestream.tables import print_json, print_status

    found = look(server_url(redis_url), settings_of(set_))
    if as_json:
        print_json(found)
    else:
        print_status(found)


@app.command()
def predict(
    structure: Annotated[str, typer.Argument(help="Structure or trajectory file, or -.")],
    model: Model = "fe-k",
    plot: Plot = None,
    absorber: Absorber = None,
    every: Every = 1,
    topology: Topology = None,
    types: Types = None,
    device: Device = "cpu",
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Predict structures in this process, without any service: a table, a picture or JSON."""
    from edgestream.predict_command import predict_file
    from edgestream.tables import print_json, print_spectra

    request = trajectory_of(structure, every, None, topology, types, absorber)
    spectra = predict_file(request, model, absorber, device=device, models=models)
    if plot is not None:
        from edgestream.pictures import draw_spectra

        draw_spectra(spectra, plot)
    if as_json:
        print_json(spectra)
    else:
        print_spectra(spectra, plot=plot)


@app.command()
def match(
    measured: Annotated[Path, typer.Argument(help="Measured spectrum: XDI, or columns energy mu.")],
    predicted: Annotated[Path, typer.Argument(help="Result file, structure or trajectory file.")],
    model: Model = "fe-k",
    plot: Plot = None,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Compare a measured spectrum with a run's average: shift, scale and distance."""
    from edgestream.match_command import match_file
    from edgestream.tables import print_json, print_match

    found = match_file(measured, predicted, model=model, models=models, plot=plot)
    if as_json:
        print_json(found)
    else:
        print_match(found, measured, predicted, plot=plot)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the result.")] = Path("demo-out"),
    frames_per_s: Annotated[float, typer.Option("--rate", min=0.1, help="Frames a second.")] = 50.0,
    as_json: AsJson = False,
) -> None:
    """Replay a trajectory that comes with edgestream, live, and draw its spectra."""
    from edgestream.demo_command import run_demo
    from edgestream.progress import show_progress
    from edgestream.tables import print_summary
    from stream.service import StopSignal

    stop = StopSignal().listen()
    with show_progress("demo") as progress:
        summary, picture = run_demo(out, frames_per_s, progress, stop)
    print_summary(summary, plot=picture, as_json=as_json)


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="Name of the model, e.g. fe-k.")],
    data: Annotated[Path, typer.Option(help="Labels: numbers, positions, offsets, mu, energy.")],
    preset: Annotated[str, typer.Option(help="default, or xanesnet-2022.")] = "default",
    edge: Annotated[str, typer.Option(help="Absorption edge of the labels.")] = "K",
    members: Annotated[int | None, typer.Option(help="Networks in the ensemble.")] = None,
    folds: Annotated[int | None, typer.Option(help="Folds of the cross-validation.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of PyTorch.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A small model, to try things out.")
    ] = False,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Fit an ensemble, evaluate it honestly, export it to ONNX and put it into the store.

    The quality is that of spectra whose chemical formula was not in the training. Needs the extra:
    pip install 'edgestream[train]'.
    """
    from edgestream.models import open_store
    from edgestream.progress import show_progress
    from edgestream.tables import print_json, print_model
    from trainer.train import train as train_model

    with show_progress(f"training {name}") as progress:
        bundle = train_model(
            name,
            data,
            open_store(models),
            preset=preset,
            edge=edge,
            members=members,
            folds=folds,
            epochs=epochs,
            seed=seed,
            threads=threads,
            quick=quick,
            progress=lambda at: progress.update(
                at.done, at.total, f"{at.stage}, loss {at.loss:.4f}, {at.left_s:.0f} s left"
            ),
        )
    if as_json:
        print_json(bundle.manifest)
    else:
        print_model(bundle.manifest)
        typer.echo(f"stored in {bundle.folder}")


@models_app.command("list")
def models_list(models: Models = None, as_json: AsJson = False) -> None:
    """All models, a line each."""
    from edgestream.models import open_store
    from edgestream.tables import print_json, print_models

    found = open_store(models).list()
    if as_json:
        print_json(found)
    else:
        print_models(found)


@models_app.command("show")
def models_show(
    name: Annotated[str, typer.Argument(help="NAME, NAME@VERSION or a bundle folder.")],
    models: Models = None,
    as_json: AsJson = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The table of measures as Markdown.")
    ] = False,
) -> None:
    """One model: what it predicts, how good it is, what it was trained on."""
    from edgestream.models import open_store
    from edgestream.tables import print_json, print_measures_markdown, print_model

    manifest = open_store(models).get(name).manifest
    if as_json:
        print_json(manifest)
    elif markdown:
        print_measures_markdown(manifest)
    else:
        print_model(manifest)
