"""``edgestream models``: what is there, how good, trained on what."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from commands import call, complaint

pytestmark = pytest.mark.processes


def test_the_built_in_model_is_listed_and_shown() -> None:
    assert "fe-k@" in call("models", "list").stdout
    assert json.loads(call("models", "list", "--json").stdout)[0]["name"] == "fe-k"
    manifest = json.loads(call("models", "show", "fe-k", "--json").stdout)
    shown = call("models", "show", "fe-k", env=os.environ | {"COLUMNS": "100"}).stdout
    assert max(map(len, shown.splitlines())) <= 100
    assert manifest["training"]["data"]["sha256"][:16] in shown
    for words in ("published network", "4.7", "3.1-7.2", "2.0-4.8", "0.83", "fold"):
        assert words in shown
    for quality in manifest["quality"]:
        assert f"{quality['percent']['median']:.1f}" in shown


def test_the_measures_are_printed_as_markdown() -> None:
    lines = call("models", "show", "fe-k", "--markdown").stdout.splitlines()
    table = [line for line in lines if line.startswith("| ")]
    assert len(table) >= 5
    assert len({line.count(" | ") for line in table}) == 1
    assert any("published network" in line for line in lines if line.startswith("- ["))


def test_the_readme_shows_the_programs_own_table() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert call("models", "show", "fe-k", "--markdown").stdout.strip() in readme


def test_an_unknown_model_is_told_the_nearest() -> None:
    assert complaint("models", "show", "fek") == "no model 'fek'; the nearest is 'fe-k'"
