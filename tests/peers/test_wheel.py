"""The wheel: everything a machine without Node needs, and nothing of the tests."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("earthshine-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_built_ui_is_in_it(names: list[str]) -> None:
    assert "earthshine/control/ui/dist/index.html" in names
    assert any(
        name.startswith("earthshine/control/ui/dist/assets/") and name.endswith(".js")
        for name in names
    )


def test_migrations_types_and_the_command_are_in_it(names: list[str]) -> None:
    assert "earthshine/control/db/migrations/env.py" in names
    assert "earthshine/py.typed" in names
    assert any(name.endswith(".dist-info/entry_points.txt") for name in names)
    assert any(name.endswith("LICENSE") for name in names)


def test_nothing_else_is_in_it(names: list[str]) -> None:
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"earthshine"}
