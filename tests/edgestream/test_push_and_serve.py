"""``serve``, ``push``, ``worker``, ``writer`` and ``status``: the service of several processes."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import (
    DEMO,
    N_FRAMES,
    call,
    complaint,
    ended,
    frames_in,
    free_port,
    processes_naming,
    service,
    started,
    status,
    text_of,
    until,
)

import edgestream
from edgestream.embedded import EmbeddedServer
from edgestream.passwords import complete_url
from stream.messages import FrameBlock, RunSpec
from stream.redis_broker import RedisBroker
from stream.redis_connection import RedisConnection
from xas.structure import StructureBatch

pytestmark = pytest.mark.processes


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as started_server:
        yield started_server


def finished(url: str, run: str) -> bool:
    broker = RedisBroker(complete_url(url))
    state = broker.run(run)
    broker.close()
    return state is not None and state.finished


def test_a_push_for_a_model_that_nobody_knows_is_warned_of(
    tmp_path: Path, server: EmbeddedServer
) -> None:
    few = tmp_path / "few.extxyz"
    few.write_text(text_of(slice(0, 2)))
    for model in ("fek", "fe-k"):
        done = call("push", few, "--run", model, "--model", model, "--redis-url", server.url)
        assert "2 frames" in done.stdout
        assert ("no model 'fek'; the nearest is 'fe-k'" in done.stderr) == (model == "fek")


def test_a_pushed_run_is_served_and_nothing_is_left_behind(tmp_path: Path) -> None:
    out = tmp_path / "results"
    port = free_port()
    url = f"redis://127.0.0.1:{port}"
    with started("serve", "--out", out, "--port", port) as process:
        until(lambda: processes_naming(f"127.0.0.1:{port}") != [])
        until(lambda: bool(frames_of(url)))
        pushed = call("push", DEMO, "--run", "md", "--redis-url", url)
        assert f"run 'md': {N_FRAMES} frames" in pushed.stdout
        assert "complete with 400" in complaint("push", DEMO, "--run", "md", "--redis-url", url)
        until(lambda: finished(url, "md"))
        words = call("status", "--redis-url", url).stdout
        assert "backlog 0 frames" in words
        assert str(out / "md.h5") in words
        assert "TROUBLE" not in words
        call("push", DEMO, "--run", "late", "--redis-url", url)
        code, _, err = ended(process, signal.SIGTERM)  # what was accepted is drained
    assert code == 0, err
    assert frames_in(out / "md.h5") == frames_in(out / "late.h5") == N_FRAMES
    assert not processes_naming(out)


def frames_of(url: str) -> list[str]:
    """Names of the workers that are up; none while the server is not."""
    try:
        broker = RedisBroker(complete_url(url))
        names = [w.name for w in broker.workers()]
        broker.close()
    except edgestream.EdgestreamError:
        return []
    return names


def test_an_interrupted_push_is_resumed(tmp_path: Path) -> None:
    slowly = ("--set", "block_atoms=170", "--set", "high_water_bytes=8000")
    with service(tmp_path) as url:
        words = ("push", DEMO, "--run", "md", "--redis-url", url, *slowly)
        with started(*words) as process:
            until(lambda: frames_in(tmp_path / "md.h5") > 20)
            code, printed, _ = ended(process, signal.SIGINT)
        assert code == 130
        assert "open: --resume goes on" in printed
        assert "frames already: resume it" in complaint(*words)
        short = tmp_path / "short.extxyz"
        short.write_text(text_of(slice(0, 5)))
        said = complaint("push", short, *words[2:], "--resume")
        assert f"{short} ends after 5 frames, run 'md' has " in said
        call(*words[:-4], "--resume")
        until(lambda: finished(url, "md"))
    assert frames_in(tmp_path / "md.h5") == N_FRAMES


def test_worker_and_writer_work_on_one_server_and_status_says_who_is_missing(
    tmp_path: Path, server: EmbeddedServer
) -> None:
    url = server.url
    few = tmp_path / "few.extxyz"
    few.write_text(text_of(slice(0, 30)))
    call("push", few, "--run", "few", "--redis-url", url)
    words = call("status", "--redis-url", url).stdout
    assert "no worker runs: edgestream worker" in words
    assert "has no writer" in words
    assert "backlog 30 frames" in words
    with (
        started("worker", "--redis-url", url) as worker,
        started("writer", "--redis-url", url, "--out", tmp_path / "out") as writer,
    ):
        until(lambda: finished(url, "few"))
        second = started(
            "writer", "--redis-url", url, "--out", tmp_path / "b", "--set", "lease_s=0.3"
        )
        with second as other:
            code, _, err = ended(other)
            assert code == 4
            assert "is being written by" in err
        assert "TROUBLE" not in call("status", "--redis-url", url).stdout
        assert ended(worker, signal.SIGTERM)[0] == ended(writer, signal.SIGTERM)[0] == 0
    assert frames_in(tmp_path / "out" / "few.h5") == 30


def test_strange_entries_of_the_stream_are_dead_letters_and_the_rest_goes_on(
    tmp_path: Path, server: EmbeddedServer
) -> None:
    url = server.url
    broker, raw = RedisBroker(url), RedisConnection(url)
    stream = "{es:0}:frames:live"
    raw.command("XADD", stream, "*", "hello", "world")
    few = tmp_path / "few.extxyz"
    few.write_text(text_of(slice(0, 10)))
    opened = broker.open_run("odd", RunSpec(model="fe-k"), run_id="1", resume=False)
    newer = [b"\x94\xaaedgestream\x63\xaaFrameBlock\x80", b"no message at all"]
    for index, payload in enumerate(newer):
        broker.push(opened, index, 1, payload)
    broker.push(opened, 2, 1, block("odd", 2))
    broker.seal(opened, 3)
    with (
        started("worker", "--redis-url", url),
        started("writer", "--redis-url", url, "--out", tmp_path / "out"),
    ):
        until(lambda: finished(url, "odd"))
        assert status(url)["runs"][0]["dead"] == 2
        assert "2 dead letters" in call("status", "--redis-url", url).stdout
    with edgestream.open_run(tmp_path / "out" / "odd.h5") as run:
        assert run.status.tolist() == [2, 2, 1]
        reasons = [why for _, why in run.dead_letters]
    assert "protocol 99" in reasons[0]
    assert "update edgestream" in reasons[0]
    assert "not a message of edgestream" in reasons[1]
    raw.close()
    broker.close()


def block(run: str, first: int) -> bytes:
    from ase.io import read

    from stream.codec import encode

    structures = StructureBatch.from_atoms(read(DEMO, first))
    return encode(
        FrameBlock.of(
            structures,
            run=run,
            first=first,
            model="fe-k",
            absorber=None,
            t_pushed=time.time(),
            times=None,
            sites=None,
        )
    )
