"""The command line. Every command is thin: it reads its options and calls a room of the house.

Heavy imports are inside the commands, so that ``--help`` answers at once. One function a command
and one line an option: that is all that makes the file long.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from edgestream.acl_command import acl
from edgestream.archive_command import archive_app
from edgestream.bench_command import bench
from edgestream.dashboard.page_options import PageOptions
from edgestream.dashboard_command import NoPage, PagePort, TokenFile, dashboard
from edgestream.discard_command import discard
from edgestream.dlq_command import dlq_app
from edgestream.drain_command import drain, pause, resume
from edgestream.ending import end_well
from edgestream.explain_command import explain
from edgestream.exporter_command import exporter
from edgestream.jobs_command import jobs_app
from edgestream.label_command import label_app
from edgestream.labeller_command import ask, labeller
from edgestream.metrics_command import metrics
from edgestream.model_commands import models_app
from edgestream.options import (
    Absorber,
    AsJson,
    Device,
    Every,
    MetricsPort,
    Model,
    Models,
    NoStructures,
    OwnUrl,
    Plot,
    Quiet,
    Resume,
    RunName,
    Sample,
    ServiceMetricsPort,
    Set,
    SpoolDir,
    Timestep,
    Title,
    Topology,
    Types,
    Url,
    Workers,
    require_picture,
    require_workers,
    server_url,
    settings_of,
    spec_of,
    trajectory_of,
)
from edgestream.replay_command import replay
from edgestream.runs_command import runs_app
from edgestream.train_command import train
from edgestream.trainer_command import trainer
from stream.log import LOG_VARIABLE, speak_json
from xas.errors import Reject

app = typer.Typer(
    name="edgestream",
    help="X-ray absorption spectra predicted from atomic structures while they still arrive.\n\n"
    "Begin with:  edgestream run md.extxyz --model fe-k -o md.h5 --plot md.png",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help costs half the time of a framed one
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(models_app, name="models", no_args_is_help=True)
app.add_typer(dlq_app, name="dlq", no_args_is_help=True)
app.add_typer(label_app, name="label", no_args_is_help=True)
app.add_typer(archive_app, name="archive", no_args_is_help=True)
app.add_typer(jobs_app, name="jobs", no_args_is_help=True)
app.command()(trainer)
app.command()(labeller)
app.command()(ask)
app.add_typer(runs_app, name="runs", no_args_is_help=True)
app.command()(replay)
app.command()(bench)
app.command()(acl)
app.command()(explain)
for _command in (drain, pause, resume, discard):
    app.command()(_command)
app.command()(exporter)
app.command()(metrics)
app.command()(dashboard)
app.command()(train)


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


@app.command()
def run(
    trajectory: Annotated[str, typer.Argument(help="Trajectory file, or - for extxyz on stdin.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Result file, NAME.h5.")],
    model: Model = "fe-k",
    plot: Plot = None,
    workers: Workers = None,
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
    metrics_port: ServiceMetricsPort = None,
    set_: Set = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Predict the spectra of a trajectory into a result file that opens at any moment.

    Reads xyz, extxyz, traj, XDATCAR, LAMMPS dumps, DCD and XTC, plain or gzipped. Starts a server,
    workers and a writer of its own. Ctrl-C finishes the file; --resume goes on from there. A frame
    that has no spectrum becomes a dead letter: counted, with its reason, in the file.

    edgestream run dump.lammpstrj --types 1=Fe,2=O --every 10 --timestep 4fs -o md.h5

    edgestream run md.dcd --topology start.pdb -o md.h5 --plot md.png

    Exit codes: 0 all frames done, 2 bad input, 3 no server or no space, 130 interrupted.
    """
    from edgestream.local import ServiceOptions
    from edgestream.progress import show_progress
    from edgestream.run_command import RunRequest, run_trajectory
    from edgestream.tables import print_summary
    from stream.service import StopSignal

    require_picture(plot)
    require_workers(workers, redis_url)
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
            metrics=metrics_port,
        ),
        resume=resume,
        overwrite=overwrite,
    )
    stop = StopSignal().listen()
    with show_progress(request.run, quiet=quiet) as progress:
        summary = run_trajectory(request, progress, stop)
    nothing = summary.dead_letters == summary.frames
    if plot is not None and not nothing:
        from edgestream.pictures import draw_run

        draw_run(Path(summary.file), plot)
    print_summary(summary, plot=None if nothing else plot, as_json=as_json)
    if summary.fault:
        raise Reject(summary.fault)
    if nothing and not summary.interrupted:
        reason = "; ".join(summary.first_reasons[:1])
        raise Reject(f"{trajectory}: none of its {summary.frames} frames has a spectrum: {reason}")
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
    spool: SpoolDir = None,
    priority: Annotated[str, typer.Option(help="live, or bulk for backfills.")] = "live",
    title: Title = "",
    sample: Sample = "",
    no_structures: NoStructures = False,
    metrics_port: MetricsPort = None,
    set_: Set = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Push a trajectory into a running service and seal the run; does not wait for the spectra.

    edgestream push md.extxyz --run md-300K --redis-url redis://host:6379

    Interrupted, the run stays open: the same command with --resume goes on.

    edgestream push - --run live --spool /var/spool/edgestream < frames.extxyz

    With --spool the frames lie on this machine's disk until they are in the result file, for which
    it then waits: a crash here, or a server that comes back without them, loses none. The same
    command with --resume goes on; what comes from a pipe then follows what is in the spool.
    """
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
            spool=spool,
            progress=progress,
            stop=stop,
            metrics=metrics_port,
        )
    if as_json:
        print_json(pushed)
    else:
        say_pushed(pushed)
    if pushed.fault:
        raise Reject(pushed.fault)
    if not pushed.sealed:
        raise SystemExit(130)


@app.command()
def worker(
    redis_url: Url = None,
    device: Device = "cpu",
    models: Models = None,
    name: Annotated[str, typer.Option(help="Name in the status.")] = "worker",
    metrics_port: MetricsPort = None,
    set_: Set = None,
) -> None:
    """Predict frames from a server until stopped; SIGTERM finishes the batch in hand.

    As many as you like, on any host that reaches the server. A server that is away is waited for.
    """
    from edgestream.worker_process import run_worker

    run_worker(
        server_url(redis_url),
        device=device,
        models=models,
        name=name,
        metrics=metrics_port,
        settings=settings_of(set_),
        follow_parent=False,
    )


@app.command()
def writer(
    out: Annotated[Path, typer.Option(help="Folder for the result files.")],
    redis_url: Url = None,
    shard: Annotated[int, typer.Option(help="Which shard of the service.")] = 0,
    metrics_port: MetricsPort = None,
    set_: Set = None,
) -> None:
    """Write results from a server into files until stopped; only one writer a shard is let in.

    Nothing is acknowledged before it is on disk. Stopped or killed, the next writer of the same
    folder goes on.
    """
    from edgestream.writer_process import run_writer

    run_writer(
        server_url(redis_url),
        out,
        shard=shard,
        metrics=metrics_port,
        settings=settings_of(set_),
        follow_parent=False,
    )


@app.command()
def serve(
    out: Annotated[Path, typer.Option(help="Folder for the result files.")],
    port: Annotated[int, typer.Option(help="Port of the server on 127.0.0.1.")] = 6379,
    workers: Workers = None,
    device: Device = "cpu",
    models: Models = None,
    redis_url: OwnUrl = None,
    redis_server: Annotated[
        str | None, typer.Option(help="Binary of the server to start instead of the bundled one.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder for the server's data. Default: OUT/.server.")
    ] = None,
    metrics_port: ServiceMetricsPort = None,
    page_port: PagePort = None,
    no_page: NoPage = False,
    operator_token_file: TokenFile = None,
    set_: Set = None,
) -> None:
    """Server, workers, writer and live page on this machine until stopped.

    edgestream serve --out results/

    edgestream push md.extxyz --run md-300K            from another terminal

    Ctrl-C or SIGTERM finishes what was accepted. What others still hold is kept in --data-dir.
    The port asks for a password, which edgestream finds in a file that only you can read.
    """
    from edgestream.local import ServiceOptions
    from edgestream.services import run_service

    require_workers(workers, redis_url)
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
            page=None if no_page else PageOptions.at(page_port, operator_token_file),
            settings=settings_of(set_),
            metrics=metrics_port,
        )
    )


@app.command()
def status(redis_url: Url = None, as_json: AsJson = False, set_: Set = None) -> None:
    """Runs, backlog, workers, rates and failures, in plain words; trouble first, with its remedy.

    backlog: frames accepted and not yet on disk. dead: frames without a spectrum.
    """
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
    """Predict structures in this process, without any service: a table, a picture or JSON.

    edgestream predict structure.xyz --plot spectrum.png

    edgestream predict structure.xyz --json > spectrum.json    (energy, intensity, errors)

    uncertainty: one standard deviation, in percent of the spectrum. novelty: how far outside the
    training data; above 1 it is farther than 99 % of them, and the errors are not to be trusted.
    """
    from edgestream.predict_command import predict_file
    from edgestream.tables import print_json, print_spectra

    require_picture(plot)
    request = trajectory_of(structure, every, None, topology, types, absorber)
    spectra, fault = predict_file(request, model, absorber, device=device, models=models)
    if plot is not None:
        from edgestream.pictures import draw_spectra

        draw_spectra(spectra, plot)
    if as_json:
        print_json(spectra)
    else:
        print_spectra(spectra, plot=plot)
    if fault:
        raise Reject(fault)


@app.command()
def match(
    measured: Annotated[Path, typer.Argument(help="Measured spectrum: XDI, or columns energy mu.")],
    predicted: Annotated[Path, typer.Argument(help="Result file, structure or trajectory file.")],
    model: Model = "fe-k",
    plot: Plot = None,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Compare a measured spectrum with a run's average: shift, scale and distance.

    edgestream match measured.xdi md.h5 --plot match.png
    """
    from edgestream.match_command import match_file
    from edgestream.tables import print_json, print_match

    require_picture(plot)
    found = match_file(measured, predicted, model=model, models=models, plot=plot)
    if as_json:
        print_json(found)
    else:
        print_match(found, measured, predicted, plot=plot)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the result.")] = Path("demo-out"),
    frames_per_s: Annotated[float, typer.Option("--rate", min=0.1, help="Frames a second.")] = 50.0,
    live: Annotated[
        bool, typer.Option("--live", help="Run the dynamics here, and open the page.")
    ] = False,
    frames: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    page_port: PagePort = None,
    no_page: NoPage = False,
    as_json: AsJson = False,
) -> None:
    """Replay a trajectory that comes with edgestream, live, and draw its spectra.

    edgestream demo --live       GFN2-xTB dynamics until Ctrl-C, on a page in your browser

    --live needs tblite: pip install 'edgestream[demo-input]'; without, the replay is shown.
    """
    from edgestream.demo_command import DemoRequest, run_demo
    from edgestream.progress import show_progress
    from edgestream.tables import print_summary
    from stream.service import StopSignal

    request = DemoRequest(
        out=out,
        frames_per_s=frames_per_s,
        page=None if no_page else PageOptions.at(page_port, open_browser=live),
        live=live,
        frames=frames,
    )
    stop = StopSignal().listen()
    with show_progress("demo") as progress:
        summary, picture = run_demo(request, progress, stop)
    print_summary(summary, plot=picture, as_json=as_json)
