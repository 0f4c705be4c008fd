import asyncio
import logging

import pytest

from earthshine.runner.policy.file import MAX_FILE, PolicyInForce, read
from earthshine.runner.policy.rules import PolicyError


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "runner-policy.toml"
    path.write_text('agents = ["claude"]\n')
    path.chmod(0o600)
    return path


def test_a_file_with_every_rule(path):
    path.write_text(
        """
        agents = ["claude", "command"]
        arguments = false
        commands = ["make", "/opt/tools/*"]
        folders = ["~/work", "/srv/repos"]
        ports = [3000, "8000-8999"]
        destinations = ["db.internal:5432"]
        people = ["mia"]
        input = false
        max_sessions = 3
        """
    )
    known = read(path)
    assert known.source == path
    assert known.rules.ports == [3000, "8000-8999"]
    assert not known.rules.input


def test_no_file_is_the_default_unless_one_was_named(tmp_path):
    assert read(tmp_path / "none.toml").source is None
    with pytest.raises(PolicyError, match="does not exist"):
        read(tmp_path / "none.toml", required=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('agent = ["claude"]', "unknown field `agent`"),  # a slip must not leave a machine open
        ("agents = true", "agents"),
        ('agents = "claude"', "agents"),
        ("people = [1]", "people"),
        ("input = 0", "input"),
        ("max_sessions = 1.5", "max_sessions"),
        ("ports = [true]", "ports"),
        ("agents = [", "runner-policy.toml"),
        ("[agents]\n", "agents"),
        ("\ud800".encode("utf-8", "surrogatepass"), "runner-policy.toml"),
        ("#" * (MAX_FILE + 1), "larger than"),
        ("a = " + "[" * 5000, "runner-policy.toml"),
    ],
)
def test_a_broken_file_is_refused(path, text, words):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(PolicyError) as error:
        PolicyInForce(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)


def test_a_file_that_others_can_change_is_refused(path):
    path.chmod(0o620)
    with pytest.raises(PolicyError, match="chmod go-w"):
        read(path)


async def test_a_change_is_taken_up(path):
    force = PolicyInForce(path)
    told = []
    force.on_change = lambda: told.append(force().rules.agents)
    assert not await force.look()
    path.write_text('agents = ["codex"]\n')
    assert await force.look()
    assert told == [["codex"]]
    assert not await force.look()


async def test_a_broken_change_or_a_deletion_opens_nothing(path, caplog):
    force = PolicyInForce(path)
    with caplog.at_level(logging.ERROR):
        path.write_text("agents = nonsense")
        assert not await force.look()
        assert not await force.look()
        assert len(caplog.records) == 1
        path.unlink()
        assert not await force.look()
    assert "the last good one stays" in caplog.text
    assert "does not exist" in caplog.text
    assert force().rules.agents == ["claude"]
    path.write_text("agents = []")
    assert await force.look()
    assert force().rules.agents == []


async def test_a_file_that_appears_is_taken_up(tmp_path, monkeypatch, eventually):
    monkeypatch.setattr("earthshine.runner.policy.file.LOOK_SECONDS", 0.01)
    force = PolicyInForce(tmp_path / "late.toml")
    assert force().source is None
    watch = asyncio.create_task(force.watch())
    (tmp_path / "late.toml").write_text("input = false")
    await eventually(lambda: not force().rules.input)
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch
