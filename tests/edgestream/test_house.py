"""The house: names, what is installed, what is imported when, and what the papers say of it."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from commands import call
from typer.main import get_command

ROOT = Path(__file__).parents[2]
PACKAGES = ("edgestream", "trainer", "workers", "stream", "model_store", "xas")
HEAVY = (
    "torch",
    "h5py",
    "onnxruntime",
    "matplotlib",
    "scipy",
    "ase",
    "chemfiles",
    "numpy",
    "redis",
)
FOR_PEOPLE = ("typer", "pydantic", "rich")


def test_every_package_belongs_to_this_distribution_alone() -> None:
    owners = packages_distributions()
    for name in PACKAGES:
        assert set(owners.get(name, ["edgestream"])) == {"edgestream"}


@pytest.mark.processes
def test_the_installed_package_says_that_it_has_the_c_kernel() -> None:
    said = call("--version").stdout
    assert re.fullmatch(r"edgestream \S+, descriptors by c \(\w+\)\n", said)


@pytest.mark.parametrize("line", ["import edgestream", "import edgestream.cli"])
def test_importing_loads_nothing_heavy(line: str) -> None:
    assert loaded_by(line) == set()


def test_help_loads_nothing_heavy_and_no_command() -> None:
    words = "import sys; sys.argv[1:] = ['--help']; from edgestream.cli import main; "
    commands = ("edgestream.frame_commands", "edgestream.model_commands", "edgestream.options")
    assert loaded_by(f"{words}\ntry: main()\nexcept SystemExit: pass", HEAVY + commands) == set()


@pytest.mark.parametrize(
    ("process", "needs"), [("worker", {"numpy", "redis"}), ("writer", {"numpy", "redis", "h5py"})]
)
def test_a_child_loads_only_what_it_uses(process: str, needs: set[str]) -> None:
    line = f"import edgestream.child, edgestream.{process}_process"
    assert loaded_by(line, HEAVY + FOR_PEOPLE) == needs


def test_predicting_an_xyz_file_loads_no_reader_but_ours() -> None:
    from edgestream.demo_command import demo_trajectory

    words = f"import sys; sys.argv[1:] = ['predict', '{demo_trajectory()}', '--every', '200']"
    run = "from edgestream.cli import main\ntry: main()\nexcept SystemExit: pass"
    loaded = loaded_by(f"{words}\n{run}")
    assert loaded == {"onnxruntime", "numpy"}


def loaded_by(code: str, names: tuple[str, ...] = HEAVY) -> set[str]:
    """Which heavy packages some code loads, in a fresh interpreter."""
    code += f"\nimport sys; print('LOADED', *[m for m in {names} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.processes
def test_every_command_teaches_by_its_help() -> None:
    from edgestream.cli import app

    listed = re.findall(r"^  (\w+) +\S", call("--help").stdout.split("Spectra:")[1], re.MULTILINE)
    assert {"run", "push", "worker", "writer", "serve", "status", "predict", "match"} < {*listed}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        assert len(command.help) > 30, name


def test_commands_in_the_readme_exist() -> None:
    readme = ROOT / "README.md"
    if not readme.is_file():
        pytest.skip("no README beside the tests")
    from edgestream.cli import app

    known = get_command(app).commands  # type: ignore[attr-defined]
    for line in code_lines(readme.read_text()):
        for name, rest in re.findall(r"(?:^|\| )edgestream (\w+)([^|]*)", line):
            assert name in known, line
            command, words = known[name], rest.split()
            while hasattr(command, "commands"):
                command = command.commands[words.pop(0)]
            options = {word for option in command.params for word in option.opts}
            assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest.split("#")[0])) <= options, line


def code_lines(markdown: str) -> list[str]:
    return [line for block in markdown.split("```")[1::2] for line in block.splitlines()]


def test_no_file_names_a_registry_or_a_machine() -> None:
    forbidden = re.compile(r"pypi\.|pythonhosted|anaconda\.org|(?<![\w.])/work/|/home/\w+/")
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.suffix in {".py", ".c", ".h", ".lua", ".json", ".md", ".toml"}:
                found = forbidden.search(path.read_text())
                assert found is None, f"{path}: {found and found[0]}"


@pytest.mark.processes
def test_a_wheel_holds_kernel_scripts_model_and_demo(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout: what belongs to the sources is not known")
    for name in listed.stdout.splitlines():
        if name.startswith(
            (*(f"{p}/" for p in PACKAGES), "pyproject.toml", "LICENSE", "README.md")
        ):
            target = sources / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-c", "import setuptools.build_meta as b; b.build_wheel('dist')"]
    (sources / "dist").mkdir()
    subprocess.run(build, cwd=sources, capture_output=True, check=True)
    (wheel,) = (sources / "dist").glob("*.whl")
    held = zipfile.ZipFile(wheel).namelist()
    for pattern in (
        r"xas/_wacsf.*\.so",
        r"stream/lua/push\.lua",
        r"model_store/builtin/fe-k/\d+/model\.onnx",
        r"edgestream/demo/.*\.extxyz",
        r"edgestream/dashboard/static/index\.html",
        r"edgestream/dashboard/static/vendor/uPlot\.iife\.min\.js",
        r"edgestream/py\.typed",
    ):
        assert any(re.fullmatch(pattern, name) for name in held), pattern
    assert {name.split("/")[0] for name in held if ".dist-info" not in name} == {*PACKAGES}
