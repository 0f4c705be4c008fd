"""Known agents: their program's name, how they take a prompt, what interrupts them.

A new terminal agent is one more row of `CATALOG`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from earthshine.protocols.envelope import AgentOffer

ESCAPE: Final = b"\x1b"
KITTY_ESCAPE: Final = b"\x1b[27u"
"""Escape in the kitty keyboard protocol, for agents that switch that on."""
CTRL_C: Final = b"\x03"
MAX_ARGUMENT: Final = 96 * 1024
"""Bytes of a prompt handed over as an argument; Linux takes 128 KiB. A longer one is typed."""


@dataclass(frozen=True, slots=True)
class Agent:
    """One kind of agent."""

    name: str
    label: str
    program: str = ""
    prompt_arguments: tuple[str, ...] | None = None
    """Arguments that hand over a first prompt, `{prompt}` standing for it; None: it is typed."""
    interrupt: bytes = CTRL_C
    install: str = ""
    """What a person can do where it is missing."""
    environment: Mapping[str, str] = field(default_factory=dict)


CATALOG: Final = (
    Agent(
        name="claude",
        label="Claude Code",
        program="claude",
        # The space: a prompt that is just `update` or `doctor` would be taken for the subcommand.
        prompt_arguments=("--", "{prompt} "),
        interrupt=ESCAPE,
        install="npm install -g @anthropic-ai/claude-code",
    ),
    Agent(
        name="codex",
        label="Codex",
        program="codex",
        prompt_arguments=("--", "{prompt}"),
        interrupt=ESCAPE,
        install="npm install -g @openai/codex",
    ),
    Agent(
        name="gemini",
        label="Gemini CLI",
        program="gemini",
        prompt_arguments=("--prompt-interactive={prompt}",),
        interrupt=ESCAPE,
        install="npm install -g @google/gemini-cli",
    ),
    Agent(
        name="opencode",
        label="OpenCode",
        program="opencode",
        prompt_arguments=("--prompt={prompt}",),
        interrupt=KITTY_ESCAPE * 2,  # it asks for the second, and takes two plain ones for Alt
        install="npm install -g opencode-ai",
    ),
    Agent(name="shell", label="Shell"),
    Agent(name="command", label="Any command"),
)
_BY_NAME: Final = {agent.name: agent for agent in CATALOG}


class AgentMissingError(Exception):
    """The agent cannot be started here; says why and what to do."""

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start an agent: `typed_prompt` is what to type once it is ready."""

    argv: list[str]
    typed_prompt: str
    interrupt: bytes
    environment: Mapping[str, str]


class AgentCatalog:
    """The agents of this machine. `programs` overrides where a program is: name -> path."""

    def __init__(
        self, programs: Mapping[str, str] | None = None, *, search: str | None = None
    ) -> None:
        self._programs = dict(programs or {})
        self._search = search

    def offers(self) -> list[AgentOffer]:
        """What can be started, and why not where it cannot."""
        offers = []
        for agent in CATALOG:
            path, detail = None, None
            try:
                path = self._find(agent)
            except AgentMissingError as error:
                detail = f"{error.detail}; {error.remedy}"
            offers.append(AgentOffer(name=agent.name, label=agent.label, path=path, detail=detail))
        return offers

    def launch(self, name: str, arguments: Sequence[str], prompt: str) -> Launch:
        """How to start `name` with extra `arguments`. Raises AgentMissingError."""
        agent = _BY_NAME.get(name)
        if agent is None:
            raise AgentMissingError(
                f"this runner knows no agent called {name}",
                "choose one of " + ", ".join(_BY_NAME),
            )
        argv = [*self._program(agent, arguments)]
        prompt = typed = prompt.replace("\0", "")  # which no argument can hold
        fits = len(prompt.encode()) <= MAX_ARGUMENT
        if prompt and fits and agent.prompt_arguments is not None:
            argv += [part.replace("{prompt}", prompt) for part in agent.prompt_arguments]
            typed = ""
        return Launch(argv, typed, agent.interrupt, agent.environment)

    def _program(self, agent: Agent, arguments: Sequence[str]) -> list[str]:
        if agent.name != "command":
            path = self._find(agent)
            assert path is not None
            return [path, *arguments]
        if not arguments:
            raise AgentMissingError("no command was given", "say which program to run")
        path = shutil.which(os.path.expanduser(arguments[0]), path=self._search)
        if path is None:
            raise AgentMissingError(
                f"the program {arguments[0]} was not found on the runner",
                "install it there, or give its full path",
            )
        return [path, *arguments[1:]]

    def _find(self, agent: Agent) -> str | None:
        """The program's path; None for the agent that has none of its own."""
        if agent.name == "command":
            return None
        override = self._programs.get(agent.name)
        if override is not None:
            found = shutil.which(os.path.expanduser(override), path=self._search)
            if found is None:
                raise AgentMissingError(
                    f"{override}, configured for {agent.label}, is not an executable file",
                    f"correct runner.programs.{agent.name} in the configuration",
                )
            return found
        if agent.name == "shell":
            return _login_shell()
        found = shutil.which(agent.program, path=self._search)
        if found is None:
            raise AgentMissingError(
                f"{agent.label} was not found on PATH",
                f"install it on the runner: {agent.install}",
            )
        return found


def _login_shell() -> str:
    own = ""
    with contextlib.suppress(KeyError):  # a container may run under a user without an entry
        own = pwd.getpwuid(os.getuid()).pw_shell
    candidates = (os.environ.get("SHELL", ""), own, "/bin/bash")
    for shell in candidates:
        if shell and Path(shell).name not in {"nologin", "false"} and os.access(shell, os.X_OK):
            return shell
    return "/bin/sh"
