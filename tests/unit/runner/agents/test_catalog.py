import os
import pwd

import pytest

from earthshine.runner.agents import catalog
from earthshine.runner.agents.catalog import CATALOG, AgentCatalog, AgentMissingError


@pytest.fixture
def bin_folder(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def program(folder, name):
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_what_is_on_path_is_offered_with_its_path(bin_folder):
    path = program(bin_folder, "claude")
    offers = {offer.name: offer for offer in AgentCatalog(search=str(bin_folder)).offers()}
    assert set(offers) == {agent.name for agent in CATALOG}
    assert (offers["claude"].path, offers["claude"].detail) == (path, None)
    assert offers["codex"].path is None
    assert "not found on PATH; install it on the runner: npm" in (offers["codex"].detail or "")
    assert offers["shell"].path
    assert (offers["command"].path, offers["command"].detail) == (None, None)


def test_a_configured_program_is_used_instead(bin_folder):
    path = program(bin_folder, "my-claude")
    found = AgentCatalog({"claude": path}, search="/nowhere")
    assert found.launch("claude", ["-x"], "").argv == [path, "-x"]


def test_a_configured_program_that_is_none_says_what_to_correct(bin_folder):
    with pytest.raises(AgentMissingError) as caught:
        AgentCatalog({"claude": "/no/such"}, search=str(bin_folder)).launch("claude", [], "")
    assert "/no/such" in caught.value.detail
    assert "runner.programs.claude" in caught.value.remedy


@pytest.mark.parametrize("name", ["claude", "codex", "gemini", "opencode"])
def test_known_agents_take_their_prompt_as_an_argument(bin_folder, name):
    path = program(bin_folder, name)
    launch = AgentCatalog(search=str(bin_folder)).launch(name, ["-m", "x"], "--help {prompt}")
    assert launch.argv[:3] == [path, "-m", "x"]
    assert "--help {prompt}" in launch.argv[-1], "taken literally"
    assert launch.typed_prompt == ""
    assert launch.interrupt != b"\x03"


def test_without_a_prompt_there_is_none(bin_folder):
    path = program(bin_folder, "claude")
    assert AgentCatalog(search=str(bin_folder)).launch("claude", [], "").argv == [path]


@pytest.mark.parametrize("text", ["x" * 200_000, "ü" * 60_000, "\U0001f600" * 30_000])
def test_a_prompt_too_long_for_an_argument_is_typed(bin_folder, text):
    path = program(bin_folder, "claude")
    launch = AgentCatalog(search=str(bin_folder)).launch("claude", [], text)
    assert (launch.argv, launch.typed_prompt) == ([path], text)


def test_a_shell_is_typed_to():
    launch = AgentCatalog().launch("shell", [], "ls")
    assert (launch.typed_prompt, launch.interrupt) == ("ls", b"\x03")


def test_any_command(bin_folder):
    path = program(bin_folder, "tool")
    found = AgentCatalog(search=str(bin_folder))
    assert found.launch("command", ["tool", "a"], "").argv == [path, "a"]
    assert found.launch("command", [path], "").argv == [path]
    for arguments in ([], ["missing"], [""]):
        with pytest.raises(AgentMissingError):
            found.launch("command", arguments, "")


def test_an_agent_nobody_knows():
    with pytest.raises(AgentMissingError, match="no agent called hal"):
        AgentCatalog().launch("hal", [], "")


def test_the_shell_is_the_users_own(monkeypatch):
    monkeypatch.setenv("SHELL", "/bin/sh")
    assert AgentCatalog().launch("shell", [], "").argv == ["/bin/sh"]
    monkeypatch.setenv("SHELL", "/usr/sbin/nologin")
    assert "nologin" not in AgentCatalog().launch("shell", [], "").argv[0]


def test_a_user_without_an_entry_has_a_shell_too(monkeypatch):
    def missing(_):
        raise KeyError

    monkeypatch.delenv("SHELL", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", missing)
    (shell,) = AgentCatalog().launch("shell", [], "").argv
    assert os.access(shell, os.X_OK)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert catalog._login_shell() == "/bin/sh"
