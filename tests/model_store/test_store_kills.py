"""A store that is torn by a kill at any moment is a valid store."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model_store.garbage import collect
from model_store.manifest import MANIFEST
from model_store.remote_shelf import RemoteShelf
from model_store.store import Store
from model_store.verification import verify

pytestmark = pytest.mark.processes
HERE = Path(__file__).parent
NEEDS_STRACE = pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")


@pytest.fixture
def template(tmp_path: Path, tiny: list[Path]) -> Path:
    """A store with one version."""
    Store([tmp_path / "template"], builtin=False).put(tiny[0])
    return tmp_path / "template"


def run(what: str, template: Path, base: Path, bundle: Path, *before: str) -> str:
    program = [sys.executable, str(HERE / "dying_store.py"), what]
    done = subprocess.run(
        [*before, *program, str(template), str(base), str(bundle)],
        env=os.environ | {"PYTHONPATH": str(HERE.parents[1])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_valid(store: Store, versions: tuple[list[int], ...], champions: set[int]) -> None:
    """The store is as it was before or as it is after, and everybody can go on."""
    assert store.versions("tiny") in versions
    assert store.aliases("tiny")["champion"] in champions
    assert all(store.get(f"tiny@{version}") for version in store.versions("tiny"))
    numbers = [entry.number for entry in store.history("tiny")]
    assert numbers == list(range(len(numbers), 0, -1))


@NEEDS_STRACE
@pytest.mark.parametrize(
    ("what", "versions", "champions"),
    [
        ("put", ([1], [1, 2]), {1}),
        ("promote", ([1, 2],), {1, 2}),
        ("gc", ([1, 2, 3], [1, 3]), {1}),
    ],
)
def test_a_kill_at_each_system_call_leaves_a_store_that_works(
    what: str,
    versions: tuple[list[int], ...],
    champions: set[int],
    template: Path,
    tmp_path: Path,
    tiny: list[Path],
) -> None:
    for folder in tiny[1 : len(versions[0])]:
        Store([template], builtin=False).put(folder)
    n = int(run(what, template, tmp_path / "torn", tiny[2]))
    torn = sorted((tmp_path / "torn").iterdir())
    assert len(torn) == n + 1 > 6
    for folder in torn:
        store = Store([folder], builtin=False, clock=lambda: 4e9)
        assert_valid(store, versions, champions)
        new = store.put(tiny[0])
        assert new > max(versions[0])
        store.promote("tiny", new)
        assert store.resolve("tiny").version == new
        collect(store, "tiny", days=0.0)
        assert not list(folder.rglob(".*"))


@NEEDS_STRACE
def test_a_promotion_is_write_fsync_link_fsync_of_the_folder(
    template: Path, tmp_path: Path, tiny: list[Path]
) -> None:
    log = tmp_path / "log"
    Store([template], builtin=False).put(tiny[1])
    code = f"from dying_store import *; change('promote', Path({str(template)!r}), Path())"
    calls = "trace=write,fsync,link,linkat"
    subprocess.run(
        ["strace", "-f", "-y", "-e", calls, "-o", str(log), sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])},
        check=True,
    )
    history = re.escape(str(template / "tiny" / "history"))
    aside = history + r"/\.entry-\w+"
    steps = [
        rf"write\(\d+<{aside}>",
        rf"fsync\(\d+<{aside}>",
        rf'link\w*\(.*"{aside}".*"{history}/00000002\.json"',
        rf"fsync\(\d+<{history}>",
    ]
    lines, at = log.read_text().splitlines(), -1
    for step in steps:
        at = next((i for i in range(at + 1, len(lines)) if re.search(step, lines[i])), -1)
        assert at >= 0, f"no {step} in its place"


class Killed(BaseException):
    """Nobody catches this."""


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_put_that_dies_between_two_requests_is_not_seen_and_its_number_not_used_again(
    s3_url: str, tmp_path: Path, tiny: list[Path], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    dying = RemoteShelf(s3_url, tmp_path / "cache")
    create, created = dying._create, []

    def counted(path: str, data: bytes, **options: bool) -> bool:
        if "history" not in path:
            created.append(path)
            if len(created) == step:
                raise Killed
        return bool(create(path, data, **options))

    monkeypatch.setattr(dying, "_create", counted)
    with pytest.raises(Killed):
        Store([dying], builtin=False).put(tiny[0])
    store = Store([RemoteShelf(s3_url, tmp_path / "cache")], builtin=False, clock=lambda: 4e9)
    assert store.names() == []
    assert store.put(tiny[1]) == (1 if step == 1 else 2)
    assert [f.fault for f in verify(store) if "half" not in f.fault] == ["", ""]
    assert len(collect(store, "tiny").leftovers) == (0 if step == 1 else 1)
    assert all(not f.fault for f in verify(store))
    assert created[-1].endswith(MANIFEST) or step < 3
