"""The labeller as processes: the one that asks for jobs, and the one that does them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec

from edgestream.attendance import stop_signal
from edgestream.recorders import Gauges, serve_gauges
from edgestream.training_process import URL, JobsProcess
from stream.codec import encode
from stream.jobs import CALCULATIONS, Jobs, UnknownJob
from stream.label_stream import push_patiently
from stream.labels import Label
from stream.redis_label_stream import RedisLabelStream
from stream.service import run_until_stopped, say
from trainer.label_request import RequestFolder
from trainer.labelling_task import LABELLING, LabellingTask, TheorySettings
from trainer.request_watch import RequestWatch

LOOK_S = 5.0
MORE_S = 300  # beyond the command's time, for the server


def ask_jobs(requests: RequestFolder, jobs: Jobs, timeout_s: float) -> list[str]:
    """A job for each request that waits and has none; a failed one stays failed. Their ids."""
    new = []
    for request in requests.waiting():
        job_id = f"{LABELLING}-{request.id}"
        try:
            jobs.find(job_id)
        except UnknownJob:
            if jobs.enqueue(
                LABELLING, job_id, timeout_s=int(timeout_s) + MORE_S, request=request.id
            ):
                new.append(job_id)
    return new


def run_labeller(
    url: str,
    jobs_url: str,
    archive: Path,
    theory: TheorySettings,
    at_once: int = 1,
    metrics: str | None = None,
) -> None:
    """The service until stopped: requests become jobs, ``at_once`` done at a time.

    ServerUnreachable at once where nobody answers for the jobs.
    """
    stop = stop_signal(follow_parent=False)
    jobs = Jobs(jobs_url, name=CALCULATIONS)
    jobs.recover()  # a server that is away is said at once; later it is waited for
    requests = RequestFolder(archive)
    words = ["labelling", "--out", str(archive), "--theory", msgspec.json.encode(theory).decode()]
    watch = RequestWatch(archive).look()
    gauges: Gauges = {
        ("label_requests", "open"): lambda: len(watch.open),
        ("label_requests", "answered"): lambda: len(watch.answered),
    }
    serve_gauges("labeller", metrics, gauges)
    processes = [JobsProcess(jobs_url, words, EDGESTREAM_URL=url) for _ in range(at_once)]
    say(f"labeller: {len(requests.waiting())} requests wait in {requests.folder}")

    def step() -> None:
        for process in processes:
            process.keep()
        jobs.recover()
        watch.look()
        for job in ask_jobs(requests, jobs, theory.timeout_s):
            say(f"{job}: asked for")
        stop.wait(LOOK_S)

    try:
        run_until_stopped(step, stop, name="labeller")
    finally:
        for process in processes:
            process.close()
        jobs.close()


def do_labelling(archive: Path, theory: TheorySettings) -> None:
    """Do the jobs of $EDGESTREAM_JOBS_URL, labels to $EDGESTREAM_URL, while somebody listens.

    Ends with standard input, whose other end the labeller holds, and ends the command with it: no
    calculation goes on for nobody.
    """
    url = os.environ["EDGESTREAM_URL"]

    def push(label: Label) -> None:
        stream = RedisLabelStream(url)
        try:
            push_patiently(stream, [encode(label)])
        finally:
            stream.close()

    task = LabellingTask(RequestFolder(archive), theory, push)

    def end_at_once() -> None:
        while os.read(0, 4096):
            pass
        task.abandon()
        os._exit(143)  # the job counts as abandoned, and is done again

    threading.Thread(target=end_at_once, daemon=True, name="parent").start()
    Jobs(os.environ[URL], {LABELLING: task}, name=CALCULATIONS).work()
