import json
import os

import pytest
from click.testing import CliRunner

from earthshine.cli import main


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("EARTHSHINE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def earthshine(*arguments):
    result = CliRunner().invoke(main, ["policy", *arguments])
    return result.exit_code, result.output


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "earthshine" / "runner-policy.toml"
    path.parent.mkdir()
    path.write_text('agents = ["claude", "codx"]\nfolders = ["/no/such"]\n')
    path.chmod(0o600)
    return path


def test_without_a_file(tmp_path):
    code, output = earthshine("show")
    assert code == 0
    assert "nothing is restricted" in output
    assert earthshine("check") == (0, "No policy file: good\n")
    assert json.loads(earthshine("show", "--json")[1])["file"] is None


def test_what_is_in_force(path):
    code, output = earthshine("show")
    assert code == 0
    assert str(path) in output
    assert "claude, codx" in output
    known = json.loads(earthshine("show", "--json")[1])
    assert known["file"] == str(path)
    assert known["rules"]["folders"] == ["/no/such"]


def test_what_may_not_be_meant(path):
    code, output = earthshine("check")
    assert code == 0
    assert "no agent called codx" in output
    assert "/no/such does not exist" in output
    path.write_text('folders = ["/"]\n')
    assert "shell and command can go elsewhere" in earthshine("check")[1]
    assert len(json.loads(earthshine("check", "--json")[1])["doubts"]) == 1


def test_a_file_that_no_runner_would_take(path, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text("agent = 1")
    other.chmod(0o600)
    code, output = earthshine("check", str(other))
    assert code == 1
    assert "unknown field `agent`" in output
    code, output = earthshine("check", str(tmp_path / "missing"))
    assert code == 1
    assert "does not exist" in output
    path.chmod(0o666)
    assert earthshine("show")[0] == 1
