"""The rules, and what they allow.

Each rule that is set only takes away: without any, a session may do what the person could do who
started the runner. A policy bounds what is started, typed and reached from outside. It is no
sandbox: an agent that runs can do what its user can.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, NoReturn

import msgspec

from earthshine.protocols.envelope import AgentOffer, Start
from earthshine.protocols.revdial import (
    BadDestinationError,
    Destination,
    UnixDestination,
    parse_destination,
)

CODE: Final = "refused-by-policy"
REMEDY: Final = "Only whoever runs that machine can change its policy."
NOT_OFFERED: Final = "this machine's policy does not allow it"
MAX_ENTRIES: Final = 256
"""Of each list."""
_RANGE: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)


class PolicyError(ValueError):
    """The policy cannot be understood; the message names file and rule."""


class PolicyRefusedError(Exception):
    """The policy does not allow what was asked: `code`, words, and what to do."""

    code = CODE
    remedy = REMEDY

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule = rule
        self.detail = detail


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The policy file. None, and a rule that is not there, mean: not restricted by this."""

    agents: list[str] | None = None
    """Names of agents that may be started."""
    arguments: bool = True
    """Whether agents other than `command` may be given arguments, which can change what they do."""
    commands: list[str] | bool = True
    """What the agent `command` may run: names as PATH finds them, or full paths, with `*`, `?`."""
    folders: list[str] | None = None
    """Where sessions may work: these folders and what is inside them."""
    ports: list[int | str] | None = None
    """Loopback ports that may be reached: 3000, "8000-8999"."""
    destinations: list[str] = []
    """Addresses beside loopback that may be reached, each written as `host:port`."""
    people: list[str] | None = None
    """Names, as the control plane tells them, of who may start, type and stop."""
    input: bool = True
    """Whether anything may be typed: prompts and key strokes."""
    files: bool | None = None
    """Whether files may be sent to sessions and fetched from them; not said: as `input`."""
    recording: bool = True
    """Whether desktops may be recorded."""
    max_sessions: int | None = None
    """Running at the same time."""


class Policy:
    """Answers whether something is allowed. What looks at folders reads the disk."""

    def __init__(self, rules: Rules | None = None, source: Path | None = None) -> None:
        """Raises PolicyError for rules that make no sense."""
        self.rules = rules = rules or Rules()
        self.source = source
        """The file, None for the default."""
        for name in ("agents", "commands", "folders", "ports", "destinations", "people"):
            value = getattr(rules, name)
            if isinstance(value, list) and len(value) > MAX_ENTRIES:
                raise self._wrong(name, f"has more than {MAX_ENTRIES} entries")
        if rules.max_sessions is not None and rules.max_sessions < 0:
            raise self._wrong("max_sessions", "is less than 0")
        self._ports = None if rules.ports is None else [self._port(port) for port in rules.ports]
        self._destinations = frozenset(self._address(text) for text in rules.destinations)
        self._roots = None if rules.folders is None else [self._root(t) for t in rules.folders]

    def _wrong(self, rule: str, words: str) -> PolicyError:
        return PolicyError(f"{self.source or 'the policy'}: `{rule}` {words}")

    def _port(self, port: int | str) -> range:
        match = _RANGE.fullmatch(str(port))
        if match is not None:
            first, last = int(match[1]), int(match[2] or match[1])
            if 0 < first <= last <= 65535:
                return range(first, last + 1)
        raise self._wrong("ports", f'contains {port!r}: write 3000 or "8000-8999"')

    def _address(self, text: str) -> str:
        try:
            return str(parse_destination(text))
        except BadDestinationError as error:
            raise self._wrong("destinations", f"contains {text!r}: {error}") from None

    def _root(self, text: str) -> str:
        expanded = os.path.expanduser(text)
        if not Path(expanded).is_absolute() or "\0" in text:
            raise self._wrong("folders", f"contains {text!r}: begin it with / or ~")
        return expanded

    def _refuse(self, rule: str, what: str) -> NoReturn:
        where = self.source or "its defaults"
        detail = f"this machine's policy does not allow {what} (`{rule}` in {where})"
        raise PolicyRefusedError(rule, detail[:1000])

    # --- Starting -----------------------------------------------------------------------------

    def offers(self, offers: Iterable[AgentOffer]) -> list[AgentOffer]:
        """The agents, with those that may not be started as not available."""
        return [
            offer
            if self.starts(offer.name)
            else AgentOffer(name=offer.name, label=offer.label, path=None, detail=NOT_OFFERED)
            for offer in offers
        ]

    def starts(self, name: str) -> bool:
        """Whether an agent may be started at all."""
        if name == "command" and self.rules.commands in (False, []):
            return False
        return self.rules.agents is None or name in self.rules.agents

    def check_start(self, command: Start, running: int) -> Start:
        """The command with its folders resolved; `running` sessions are here already.

        Raises PolicyRefusedError. Reads the disk.
        """
        rules = self.rules
        self.check_person(command.by)
        if not self.starts(command.agent):
            rule = "agents" if rules.agents is not None else "commands"
            self._refuse(rule, f"the agent {command.agent[:100]}")
        if command.argv and command.agent != "command" and not rules.arguments:
            self._refuse("arguments", "arguments for an agent")
        if command.prompt and not rules.input:
            self._refuse("input", "prompts")
        if rules.max_sessions is not None and running >= rules.max_sessions:
            self._refuse("max_sessions", f"more than {rules.max_sessions} running sessions")
        if command.desktop is not None and command.desktop.record:
            self.check_recording(command.by)
        if command.worktree is None:
            return msgspec.structs.replace(command, folder=self.folder(command.folder))
        repository = self.folder(command.worktree.repository)
        worktree = msgspec.structs.replace(command.worktree, repository=repository)
        return msgspec.structs.replace(command, worktree=worktree)

    def check_program(self, command: Start, program: str) -> None:
        """Of the agent `command`: `program` is what was found for it. Raises PolicyRefusedError."""
        allowed = self.rules.commands
        if command.agent != "command" or allowed is True:
            return
        asked = command.argv[0] if command.argv else ""
        if allowed and any(_matches(asked, program, pattern) for pattern in allowed):
            return
        self._refuse("commands", f"the command {asked[:200]}")

    # --- Folders ------------------------------------------------------------------------------

    def folder(self, path: str | None) -> str:
        """Where `path` leads, links followed; an empty one to the home folder, or to the first that
        is allowed. Raises PolicyRefusedError. Reads the disk.
        """
        if self._roots is None:
            return path or "~"
        if not path:
            home = os.path.expanduser("~")
            path = home if self._is_inside(home) or not self._roots else self._roots[0]
        expanded = os.path.expanduser(path)
        if not Path(expanded).is_absolute():
            return path  # which is refused as no full path
        if not self._is_inside(expanded):
            self._refuse("folders", f"work in {path[:300]}")
        return os.path.realpath(expanded)

    def listing(self, listing: dict[str, Any]) -> dict[str, Any]:
        """A list of folders as it may be shown: no way up out of what is allowed."""
        parent = listing["parent"]
        if parent is None or self._roots is None or self._is_inside(parent):
            return listing
        return {**listing, "parent": None}

    def _is_inside(self, path: str) -> bool:
        try:
            real = Path(os.path.realpath(path))
            return any(real.is_relative_to(os.path.realpath(root)) for root in self._roots or ())
        except (ValueError, OSError):  # no path at all
            return False

    # --- Steering -----------------------------------------------------------------------------

    def check_person(self, name: str) -> None:
        """Raises PolicyRefusedError."""
        if self.rules.people is not None and name not in self.rules.people:
            self._refuse("people", f"anything to {name[:100] or 'somebody without a name'}")

    def check_typing(self, name: str) -> None:
        """Prompts and key strokes of a person. Raises PolicyRefusedError."""
        if not self.rules.input:
            self._refuse("input", "prompts and key strokes")
        self.check_person(name)

    def check_files(self, name: str) -> None:
        """Files to or from a session, by a person. Raises PolicyRefusedError."""
        if not self.transfers_files:
            self._refuse("input" if self.rules.files is None else "files", "files")
        self.check_person(name)

    @property
    def transfers_files(self) -> bool:
        """Whether anybody may. Where nothing may be typed, nothing is sent by other ways either."""
        return self.rules.input if self.rules.files is None else self.rules.files

    def check_recording(self, name: str) -> None:
        """Recording a desktop, by a person. Raises PolicyRefusedError."""
        if not self.rules.recording:
            self._refuse("recording", "recording desktops")
        self.check_person(name)

    @property
    def viewers_answer(self) -> bool:
        """Whether a viewer's terminal may answer for the program: its answers are key strokes."""
        return self.rules.input and self.rules.people is None

    # --- Ports --------------------------------------------------------------------------------

    def check_destination(self, destination: Destination) -> None:
        """Raises PolicyRefusedError."""
        if str(destination) in self._destinations:
            return
        if isinstance(destination, UnixDestination) or not _is_loopback(destination.host):
            self._refuse("destinations", f"connections to {destination}")
        if self._ports is not None and not any(destination.port in ports for ports in self._ports):
            self._refuse("ports", f"connections to port {destination.port}")

    # --- For people ---------------------------------------------------------------------------

    def describe(self) -> list[tuple[str, str]]:
        """Each rule and what it means, in words."""
        rules = self.rules
        return [
            ("agents", _some(rules.agents, "every agent that is installed")),
            ("arguments", "may be given" if rules.arguments else "none may be given"),
            ("commands", _commands(rules.commands)),
            ("folders", _some(self._roots, "every folder that this user can enter")),
            ("ports", _some(rules.ports, "every port of this machine's loopback addresses")),
            ("destinations", _some(rules.destinations, "")),
            ("people", _some(rules.people, "everybody whom the control plane lets")),
            ("input", "may be typed" if rules.input else "nothing may be typed"),
            ("files", "may be sent and fetched" if self.transfers_files else "none may be sent"),
            ("recording", "desktops may be recorded" if rules.recording else "none"),
            (
                "max_sessions",
                "no limit but the runner's own"
                if rules.max_sessions is None
                else str(rules.max_sessions),
            ),
        ]


def _some(values: Sequence[object] | None, everything: str) -> str:
    if values is None:
        return everything
    return ", ".join(map(str, values)) or "none"


def _commands(value: list[str] | bool) -> str:
    if value is True:
        return "every program"
    return _some(value or [], "")


def _matches(asked: str, program: str, pattern: str) -> bool:
    if "/" not in pattern:
        # The name alone: somebody's file of the same name elsewhere is another program.
        return "/" not in asked and fnmatch.fnmatchcase(asked, pattern)
    path = PurePosixPath(program)
    return (
        path.is_absolute()
        and not {".", ".."} & set(program.split("/"))
        and path.match(os.path.expanduser(pattern))
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
