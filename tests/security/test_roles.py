"""Each role can do its whole job on a real server with the ACL file on, and nothing else."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fortress import SETTINGS, Fortress
from iron_labels import iron_label

from edgestream.demo_command import demo_trajectory
from edgestream.feeding import Opened, Trajectory
from edgestream.passwords import complete_url
from edgestream.prediction import predict
from edgestream.settings_words import settings_as_options
from stream.acl import ROLES
from stream.codec import encode
from stream.redis_broker import RedisBroker
from stream.redis_connection import RedisConnection
from stream.redis_label_stream import RedisLabelStream
from stream.result_file.reader import RunFile
from stream.scripts import scripts, sha1
from trainer.archivist import Archivist
from xas.errors import EdgestreamError, ServerUnreachable
from xas.structure import StructureBatch

pytestmark = pytest.mark.processes
PUSH = ("--every", 8, "--set", "block_atoms=400", "-q")


def may(server: RedisConnection, *words: object) -> bool:
    """Whether the user may run a command; what it answers is of no interest here."""
    try:
        server.command(*words)  # type: ignore[arg-type]
    except ServerUnreachable as error:
        if "permission" not in str(error):
            raise
        return False
    except Exception as error:  # noqa: BLE001 - refused, but not for lack of rights
        return not any(word in str(error) for word in ("NOPERM", "ACL failure", "can't access"))
    return True


def push_to_the_end(
    fortress: Fortress, out: Path, run: str, first: Callable[[], None] = lambda: None
) -> RunFile:
    """A run with producer, worker and writer under their own users, watched by a viewer.

    ``first`` happens when worker and writer are at work.
    """
    viewer = RedisBroker(complete_url(fortress.url("viewer")), SETTINGS)
    service = settings_as_options(SETTINGS)
    with (
        fortress.process("writer", "writer", "--out", out, *service),
        fortress.process("worker", "worker", *service),
    ):
        until(lambda: viewer.workers() and viewer.shards()[0].writer_alive, fortress)
        first()
        words = ("push", demo_trajectory(), "--run", run, *PUSH)
        with fortress.process("producer", *words) as producer:
            assert producer.wait(timeout=90) == 0, logs(fortress)
        until(lambda: (state := viewer.run(run)) and state.finished, fortress)
        assert [w.host for w in viewer.workers()], "the worker reports"
        assert viewer.shards()[0].writer_alive
    viewer.close()
    return RunFile(out / f"{run}.h5")


def until(done: Callable[[], object], fortress: Fortress) -> None:
    end = time.monotonic() + 90
    while not done():
        assert time.monotonic() < end, logs(fortress)
        time.sleep(0.05)


def logs(fortress: Fortress) -> str:
    return "\n".join(f"--- {p.name}\n{p.read_text()}" for p in fortress.folder.glob("*.log"))


def test_a_run_goes_its_whole_way_under_four_users(fortress: Fortress, tmp_path: Path) -> None:
    file = push_to_the_end(fortress, tmp_path, "whole")
    assert len(file) == 50
    assert (file.status == 1).all()
    frames = [c.structures for c in Opened(Trajectory(path=str(demo_trajectory()), every=8))]
    direct = predict(StructureBatch.concatenate(frames))
    assert np.abs(file.intensity[:] - direct.intensity).max() < 1e-6


def test_the_writer_gives_a_restarted_server_its_scripts(
    fortress: Fortress, tmp_path: Path
) -> None:
    def restart() -> None:
        fortress.stop()
        fortress.start(load=False)
        operator = fortress.connection("operator")
        names = [sha1(text) for text in scripts().values()]
        until(lambda: all(operator.command("SCRIPT", "EXISTS", *names)), fortress)
        operator.close()

    file = push_to_the_end(fortress, tmp_path, "restarted", restart)
    assert (file.status == 1).all()


def test_nobody_gets_in_without_a_password_or_as_somebody_else(fortress: Fortress) -> None:
    whole = complete_url(fortress.url("viewer"))
    password = fortress.passwords["viewer"]
    for login in ("", "viewer:wrong@", f"operator:{password}@", f":{password}@"):
        server = RedisConnection(whole.replace(f"viewer:{password}@", login))
        with pytest.raises(EdgestreamError) as caught:
            server.command("PING")
        assert password not in str(caught.value)
        server.close()


PRODUCER_MUST_NOT = [
    ("XREAD", "STREAMS", "{es:0}:results", "0"),
    ("XRANGE", "{es:0}:results", "-", "+"),
    ("MGET", "{es:0}:r:x"),
    ("GET", "{es:0}:f:x"),
    ("SET", "{es:0}:f:x", "a", "GET"),
    ("DEL", "{es:0}:results"),
    ("DEL", "{es:0}:frames:live"),
    ("UNLINK", "{es:0}:frames:live"),
    ("XTRIM", "{es:0}:frames:live", "MAXLEN", 0),
    ("XDEL", "{es:0}:frames:live", "1-1"),
    ("DEL", "{es:0}:run:whole"),
    ("XADD", "{es:0}:results", "*", "r", "x"),
    ("XADD", "{es:0}:buried", "*", "b", "x"),
    ("HSET", "{es:0}:models", "a", "b"),
    ("HSET", "{es:0}:writer", "epoch", 1),
    ("HSET", "{es:0}:gates", "*", 1),
    ("HDEL", "{es:0}:gates", "*"),
    ("SET", "elsewhere", 1),
    ("HGETALL", "rq:job:x"),
    ("RENAME", "{es:0}:f:x", "{es:0}:f:y"),
]
WORKER_MUST_NOT = [
    ("HSET", "{es:0}:models", "sha", "other"),
    ("HDEL", "{es:0}:models", "sha"),
    ("DEL", "{es:0}:models"),
    ("HSET", "{es:0}:run:whole", "watermark", 0),
    ("HSET", "{es:0}:writer", "epoch", 1),
    ("XADD", "{es:0}:frames:live", "*", "r", "x"),
    ("XTRIM", "{es:0}:results", "MAXLEN", 0),
    ("XDEL", "{es:0}:results", "1-1"),
    ("SET", "{es:0}:f:x", 1),
    ("MGET", "{es:0}:r:x"),
]
WRITER_MUST_NOT = [
    ("HSET", "{es:0}:models", "sha", "other"),
    ("XADD", "{es:0}:results", "*", "r", "x"),
    ("XADD", "{es:0}:frames:live", "*", "r", "x"),
    ("XREAD", "STREAMS", "{es:0}:frames:live", "0"),
    ("DEL", "{es:0}:run:whole"),
    ("DEL", "{es:0}:results"),
]
VIEWER_MUST_NOT = [
    ("SET", "{es:0}:r:x", 1),
    ("DEL", "{es:0}:r:x"),
    ("XADD", "{es:0}:results", "*", "r", "x"),
    ("HSET", "{es:0}:run:whole", "file", "x"),
    ("XREADGROUP", "GROUP", "workers", "me", "STREAMS", "{es:0}:frames:live", ">"),
    ("XGROUP", "DESTROY", "{es:0}:frames:live", "workers"),
    ("MGET", "{es:0}:f:x"),
    ("HSET", "rq:job:x", "a", "b"),
    ("RPUSH", "rq:queue:jobs", "x"),
    ("DEL", "rq:job:x"),
]
LABELLER_MUST_NOT = [
    ("XDEL", "{es:0}:labels", "1-1"),
    ("XTRIM", "{es:0}:labels", "MAXLEN", 0),
    ("HSET", "{es:0}:labels:archive", "epoch", 1),
    ("DEL", "{es:0}:labels"),
    ("XADD", "{es:0}:frames:live", "*", "r", "x"),
    ("XREAD", "STREAMS", "{es:0}:results", "0"),
]
TRAINER_MUST_NOT = [
    ("XADD", "{es:0}:labels", "*", "p", "x"),
    ("DEL", "{es:0}:labels"),
    ("HSET", "{es:0}:writer", "epoch", 1),
    ("XADD", "{es:0}:frames:live", "*", "r", "x"),
    ("XREAD", "STREAMS", "{es:0}:results", "0"),
    ("LPUSH", "{es:0}:notices", "x"),
]
NOBODY_MAY = [
    ("EVAL", "return 1", 0),
    ("FUNCTION", "LIST"),
    ("FLUSHALL",),
    ("CONFIG", "GET", "*"),
    ("KEYS", "*"),
    ("SCAN", 0),
    ("ACL", "SETUSER", "x"),
    ("ACL", "LIST"),
    ("REPLICAOF", "127.0.0.1", 1),
    ("SHUTDOWN", "NOSAVE"),
    ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("MONITOR",),
    ("PUBLISH", "a", "b"),
    ("SCRIPT", "FLUSH"),
    ("MODULE", "LIST"),
]


@pytest.mark.parametrize(
    ("role", "refused"),
    [
        ("producer", [*PRODUCER_MUST_NOT, *NOBODY_MAY, ("SCRIPT", "LOAD", "return 1")]),
        ("worker", [*WORKER_MUST_NOT, *NOBODY_MAY, ("SCRIPT", "LOAD", "return 1")]),
        ("writer", [*WRITER_MUST_NOT, *NOBODY_MAY]),
        ("labeller", [*LABELLER_MUST_NOT, *NOBODY_MAY, ("SCRIPT", "LOAD", "return 1")]),
        ("trainer", [*TRAINER_MUST_NOT, *NOBODY_MAY]),
        ("viewer", [*VIEWER_MUST_NOT, *NOBODY_MAY, ("SCRIPT", "LOAD", "return 1")]),
    ],
)
def test_a_role_cannot_do_what_it_must_not(
    fortress: Fortress, role: str, refused: list[tuple[object, ...]]
) -> None:
    server = fortress.connection(role)
    allowed = [words for words in refused if may(server, *words)]
    server.close()
    assert allowed == []


OPERATOR_MUST_NOT = [words for words in NOBODY_MAY if words[:2] != ("ACL", "LIST")]


def test_an_operator_serves_the_streams_and_is_not_the_servers_owner(fortress: Fortress) -> None:
    server = fortress.connection("operator")
    assert may(server, "XTRIM", "{es:0}:buried", "MAXLEN", 100)
    not_theirs = [w for w in OPERATOR_MUST_NOT if w[0] not in ("CLIENT", "SCAN")]
    assert [words for words in not_theirs if may(server, *words)] == []
    assert not may(server, "SET", "elsewhere", 1)
    with contextlib.suppress(ServerUnreachable):  # Redis 7.0 hangs up on everybody
        assert may(server, "ACL", "LOAD")
    server.close()


@pytest.mark.parametrize("role", [role for role in ROLES if role != "operator"])
def test_a_role_calls_its_own_scripts_and_no_others(fortress: Fortress, role: str) -> None:
    server = fortress.connection(role)
    called = {name for name, text in scripts().items() if may_call(server, sha1(text))}
    server.close()
    assert called == set(ROLES[role].scripts)


def may_call(server: RedisConnection, sha: str) -> bool:
    """The key belongs to nobody, so that the script itself never runs."""
    try:
        server.command("EVALSHA", sha, 1, "elsewhere")
    except Exception as error:  # noqa: BLE001 - it always is refused: for what, is the question
        said = str(error)
    return not ("evalsha" in said and "permissions to run" in said)


def test_every_script_belongs_to_a_role() -> None:
    named = {name for role in ROLES.values() for name in role.scripts if name != "*"}
    operators_alone = {"requeue", "gate", "discard"}
    assert named | operators_alone == set(scripts())


def test_a_model_record_is_never_altered(fortress: Fortress) -> None:
    worker = RedisBroker(complete_url(fortress.url("worker")), SETTINGS)
    worker.publish_model("a" * 64, b"first")
    worker.publish_model("a" * 64, b"second")
    worker.close()
    viewer = RedisBroker(complete_url(fortress.url("viewer")), SETTINGS)
    assert viewer.known_model(0, "a" * 64) == b"first"
    viewer.close()


def test_a_labeller_pushes_labels_and_a_trainer_archives_them(
    fortress: Fortress, tmp_path: Path
) -> None:
    streams = {
        role: RedisLabelStream(complete_url(fortress.url(role)), SETTINGS)
        for role in ("labeller", "trainer", "viewer")
    }
    archivist = Archivist(streams["trainer"], tmp_path / "labels")
    assert streams["labeller"].push([encode(iron_label()), b"none"]) == [True, True]
    assert len(streams["viewer"].waiting(block_s=0)) == 2
    assert [t.outcome for t in archivist.step(block_s=0)] == ["new"]
    archivist.close()
    state = streams["viewer"].state()
    assert (state.waiting, state.outcomes["new"], state.outcomes["refused"]) == (0, 1, 1)
    for stream in streams.values():
        stream.close()


def test_status_is_a_viewers(fortress: Fortress, tmp_path: Path) -> None:
    with fortress.process("viewer", "status", "--json") as process:
        assert process.wait(timeout=60) == 0
    said = (fortress.folder / "status.log").read_text()
    assert json.loads(said)["server"].startswith("redis")
    assert fortress.passwords["viewer"] not in said
