"""The commands that take structures: predict, run, push, match and demo.

Heavy imports are inside the commands, so that ``--help`` answers at once. One function a command
and one line an option: that is all that makes the file long.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgestream.dashboard.page_options import PageOptions
from edgestream.dashboard_command import NoPage, PagePort
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
from xas.errors import Reject


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
    Below 1 does not mean that a structure is sound: positions in bohr may have 0.3, where only the
    uncertainty, twice the usual, tells. Look at both.
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


def match(
    measured: Annotated[Path, typer.Argument(help="Measured spectrum: XDI, or columns energy mu.")],
    predicted: Annotated[Path, typer.Argument(help="Result file, structure or trajectory file.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Of structures, which are predicted now. Default: fe-k."
        ),
    ] = None,
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
