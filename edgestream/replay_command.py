"""``edgestream replay``: a recorded run, predicted again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgestream.options import AsJson, Device, Model, Models, Quiet, Resume

if TYPE_CHECKING:
    from edgestream.replay import Replayed


def replay(
    recording: Annotated[
        Path, typer.Argument(help="Result file of a run, NAME.h5, or its spool, SPOOL/NAME.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="New result file, NAME.h5.")],
    model: Model = "fe-k",
    compare: Annotated[
        bool, typer.Option("--compare", help="Say how far the new rows are from the recorded.")
    ] = False,
    resume: Resume = False,
    device: Device = "cpu",
    models: Models = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Predict the structures of a recorded run again, into a new file; needs no server.

    edgestream replay md.h5 --model fe-k@2 -o md-fe-k-2.h5 --compare

    edgestream replay spool/md -o md.h5          what a producer kept, where no service is left

    The same model gives the same numbers to 1e-6, whatever frames are predicted together. Ctrl-C
    finishes the file; --resume goes on from there.

    Exit codes: 0 all frames done, 2 bad input or no structures, 130 interrupted.
    """
    from edgestream.models import load_predictor
    from edgestream.progress import show_progress
    from edgestream.recorded_spool import open_recording
    from edgestream.replay import Replay
    from edgestream.runs_tables import print_replayed
    from edgestream.tables import print_json
    from stream.service import StopSignal
    from xas.errors import RunRefused

    if compare and recording.is_dir():
        raise RunRefused("--compare compares with the rows of a result file; a spool has none")
    opened = open_recording(recording)
    predictor = load_predictor(model, models, device)
    made = Replay(opened, predictor, out, origin=str(recording.resolve()), resume=resume)
    stop = StopSignal().listen()
    with show_progress(out.name, quiet=quiet) as progress:
        done = made.run(progress, stop)
    if compare:
        done = _compared(done, recording)
    if as_json:
        print_json(done)
    else:
        print_replayed(done)
    if done.interrupted:
        raise SystemExit(130)


def _compared(done: Replayed, recording: Path) -> Replayed:
    import numpy as np

    from edgestream.replay import differences
    from stream.result_file import RunFile

    with RunFile(recording) as old, RunFile(Path(done.file)) as new:
        percent = differences(old, new)
    known = np.isfinite(percent)
    if not known.any():
        return done
    return replace(
        done,
        compared_frames=int(known.sum()),
        median_percent=float(np.median(percent[known])),
        max_percent=float(percent[known].max()),
        max_frame=int(np.nanargmax(percent)),
    )
