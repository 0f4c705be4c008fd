"""All sessions of this runner: starting, finding again after a restart, forgetting."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from earthshine.protocols.envelope import Prompt, SpoolPosition, Start
from earthshine.runner import workspace
from earthshine.runner.agents.catalog import AgentCatalog, AgentMissingError
from earthshine.runner.desktops.keeper import DesktopError, DesktopKeeper
from earthshine.runner.desktops.recording.recordings import Recordings
from earthshine.runner.holder import messages
from earthshine.runner.holder.messages import HolderSpec, Ready, Unable
from earthshine.runner.holder.place import SPOOL
from earthshine.runner.holder.spawn import spawn
from earthshine.runner.policy.rules import Policy
from earthshine.runner.sessions.held import HeldSession
from earthshine.runner.transfers.folders import VARIABLE, FileError, FileFolders

MAX_SESSIONS: Final = 200
"""Sessions with a living agent on one runner."""
START_TIMEOUT: Final = 20.0
"""Seconds a holder has to say whether its agent runs."""
_ID: Final = frozenset("0123456789abcdefghijklmnopqrstuvwxyz-")
log = logging.getLogger(__name__)


class StartRefusedError(Exception):
    """A session could not be started: `code`, words, and what to do."""

    def __init__(self, code: str, detail: str, remedy: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.remedy = remedy


class SessionKeeper:
    """Holds the sessions under `state`/sessions; worktrees go to `data`/worktrees."""

    def __init__(
        self,
        state: Path,
        data: Path,
        catalog: AgentCatalog,
        *,
        spool_limit: int,
        overflow: str,
        environment: Mapping[str, str] | None = None,
        policy: Callable[[], Policy] = Policy,
        redact_secrets: bool = True,
        desktops: DesktopKeeper | None = None,
        recordings: Recordings | None = None,
        files: FileFolders | None = None,
    ) -> None:
        """`policy` gives the one in force; `desktops` has those of sessions that want one."""
        self._desktops = desktops
        self._recordings = recordings
        self._files = files
        self._folder = state / "sessions"
        self._worktrees = data / "worktrees"
        self._catalog = catalog
        self._spool_limit = spool_limit
        self._overflow = overflow
        self._policy = policy
        self._environment = dict(os.environ if environment is None else environment)
        self._redact_secrets = redact_secrets
        self._sessions: dict[str, HeldSession] = {}
        self._starting: dict[str, asyncio.Lock] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self.on_added: Callable[[HeldSession], None] = lambda _: None
        self.on_condition: Callable[[HeldSession], None] = lambda _: None

    def __iter__(self) -> Iterator[HeldSession]:
        return iter(list(self._sessions.values()))

    def get(self, session_id: str) -> HeldSession | None:
        """The session, if it is here."""
        return self._sessions.get(session_id)

    def last_seq(self, session_id: str) -> int:
        """Where a session's log is; 0 for one that is not here."""
        session = self._sessions.get(session_id)
        return 0 if session is None else session.tail

    def positions(self) -> list[SpoolPosition]:
        """What the spools contain."""
        return [session.position() for session in self]

    async def load(self, tasks: asyncio.TaskGroup) -> None:
        """Find the sessions of earlier runs; their followers live in `tasks`."""
        self._tasks = tasks
        for folder in await asyncio.to_thread(self._folders):
            session = HeldSession(folder.name, folder)
            self._add(session)
        for desktop in self._desktops or ():
            if desktop.desktop_id not in self._sessions:  # its session ended without us
                tasks.create_task(desktop.end())

    def _folders(self) -> list[Path]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return sorted(f for f in self._folder.iterdir() if (f / SPOOL).is_dir())

    def _add(self, session: HeldSession) -> None:
        assert self._tasks is not None
        session.on_condition = self._condition_changed
        self._sessions[session.session_id] = session
        self._tasks.create_task(self._follow(session), name=f"session {session.session_id}")
        self.on_added(session)

    async def _follow(self, session: HeldSession) -> None:
        """Until the session has ended, and its desktop with it."""
        await session.run()
        await self._end_desktop(session.session_id)

    async def _end_desktop(self, session_id: str) -> None:
        if self._desktops is not None:
            await self._desktops.end(session_id)

    def _condition_changed(self, session: HeldSession) -> None:
        self.on_condition(session)

    async def start(self, session_id: str, command: Start) -> None:
        """Start a session; one that is here already stays as it is.

        Raises StartRefusedError, PolicyRefusedError.
        """
        if not session_id or len(session_id) > 64 or not set(session_id) <= _ID:
            raise StartRefusedError("invalid", "that is no session id")
        lock = self._starting.setdefault(session_id, asyncio.Lock())
        try:
            async with lock:
                if session_id not in self._sessions:
                    await self._start(session_id, command)
        finally:
            self._starting.pop(session_id, None)

    async def _start(self, session_id: str, command: Start) -> None:
        running = sum(not session.ended for session in self) + len(self._starting) - 1
        if running >= MAX_SESSIONS:
            raise StartRefusedError(
                "too-many-sessions",
                f"this runner already holds {MAX_SESSIONS} running sessions",
                "stop some of them first",
            )
        folder = self._folder / session_id
        policy = self._policy()
        command = await asyncio.to_thread(policy.check_start, command, running)
        try:
            # First what leaves nothing behind when it fails; looking along PATH reads folders.
            launch = await asyncio.to_thread(
                self._catalog.launch, command.agent, command.argv, command.prompt
            )
            policy.check_program(command, launch.argv[0])
            place = await workspace.prepare(
                command.folder, command.worktree, self._worktrees / session_id
            )
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True, mode=0o700)
        except workspace.WorkspaceError as error:
            raise StartRefusedError(error.code, error.detail, error.remedy) from None
        except AgentMissingError as error:
            raise StartRefusedError("agent-missing", error.detail, error.remedy) from None
        except OSError as error:
            raise _storage_refused(error) from None
        try:
            own = await self._prepare_files(session_id, str(place.folder))
            own |= await self._start_desktop(session_id, command, str(place.folder), own)
        except StartRefusedError:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            raise
        secrets = command.environment
        environment = self._agent_environment(session_id, secrets, {**own, **launch.environment})
        redact = [name for name in secrets if environment[name] == secrets[name]]
        spec = HolderSpec(
            session_id=session_id,
            agent=command.agent,
            argv=launch.argv,
            folder=str(place.folder),
            environment=environment,
            cols=command.cols,
            rows=command.rows,
            interrupt=launch.interrupt,
            prompt=launch.typed_prompt,
            prompted=Prompt(
                request_id="", text=command.prompt, by=command.by, command_id=f"start-{session_id}"
            )
            if command.prompt
            else None,
            branch=place.branch,
            spool_limit=self._spool_limit,
            overflow=self._overflow,
            redact=redact if self._redact_secrets else [],
        )
        try:
            answer = await _spawn_holder(folder, spec)
        except OSError as error:
            answer = Unable(
                code="spawn-failed",
                detail=f"the runner cannot start another process: {error.strerror}",
                remedy="stop some sessions or other programs there",
            )
        if isinstance(answer, Unable):
            await self._end_desktop(session_id)
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            raise StartRefusedError(answer.code, answer.detail, answer.remedy)
        log.info("session started", extra={"session": session_id, "pid": answer.pid})
        self._add(HeldSession(session_id, folder))

    async def _prepare_files(self, session_id: str, folder: str) -> dict[str, str]:
        """A variable that tells where files are that people send."""
        if self._files is None:
            return {}
        try:
            path = await asyncio.to_thread(self._files.prepare, session_id, folder)
        except FileError as error:
            raise StartRefusedError(error.code, error.detail, error.remedy) from None
        return {} if path is None else {VARIABLE: str(path)}

    async def _start_desktop(
        self, session_id: str, command: Start, folder: str, files: Mapping[str, str]
    ) -> dict[str, str]:
        """Variables that make the agent's windows appear in the session's desktop.

        Whoever asked for a desktop counts on it: without one the session does not start.
        """
        wish = command.desktop
        if wish is None:
            return {}
        if self._desktops is None:
            raise StartRefusedError("desktop-failed", "this runner has no desktops")
        own = self._agent_environment(session_id, {}, files)  # its programs get no secrets
        try:
            desktop = await self._desktops.start(session_id, folder, own, (wish.width, wish.height))
            if wish.record and self._recordings is not None:
                await self._recordings.begin(session_id, command.by)
        except DesktopError as error:
            await self._end_desktop(session_id)  # recording may be what was refused
            raise StartRefusedError(
                "desktop-failed", f"no desktop: {error.detail}", error.remedy
            ) from None
        return desktop.status.environment

    def _agent_environment(
        self, session_id: str, secrets: Mapping[str, str], extra: Mapping[str, str]
    ) -> dict[str, str]:
        own = {k: v for k, v in self._environment.items() if not k.startswith("EARTHSHINE_")}
        for name in ("TMUX", "TMUX_PANE", "STY", "COLUMNS", "LINES", "NO_COLOR"):
            own.pop(name, None)  # the runner's own terminal is not the agent's
        return {
            **own,
            **secrets,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "TERM_PROGRAM": "earthshine",
            "EARTHSHINE_SESSION": session_id,
            **extra,
        }

    async def forget(self, session_id: str) -> None:
        """Remove what is kept of an ended session; a worktree with changes stays."""
        session = self._sessions.get(session_id)
        if session is not None:
            if not session.ended:
                raise StartRefusedError("running", "the session's agent still runs", "stop it")
            self._drop(session)
            await asyncio.to_thread(shutil.rmtree, session.folder, ignore_errors=True)
        await self._end_desktop(session_id)
        if self._recordings is not None:
            await self._recordings.forget(session_id)
        if self._files is not None:
            await asyncio.to_thread(self._files.forget, session_id)
        worktree = self._worktrees / session_id
        if await asyncio.to_thread(worktree.is_dir):
            await workspace.discard(worktree)

    async def delivered(self, session: HeldSession) -> None:
        """The session's log is complete at the control plane: drop the spool."""
        self._drop(session)
        await asyncio.to_thread(shutil.rmtree, session.folder, ignore_errors=True)

    def _drop(self, session: HeldSession) -> None:
        self._sessions.pop(session.session_id, None)
        session.close()

    def close(self) -> None:
        """Let go of all sessions; their agents go on."""
        for session in self:
            session.close()


async def _spawn_holder(folder: Path, spec: HolderSpec) -> Ready | Unable:
    packed = msgspec.msgpack.encode(spec)
    answer = await spawn("earthshine.runner.holder", folder, packed, START_TIMEOUT)
    try:
        return messages.startup.decode(answer or b"")
    except msgspec.MsgspecError:
        return Unable(
            code="spawn-failed",
            detail="the process that holds the agent's terminal did not start",
            remedy="see the runner's log; `earthshine doctor` checks the machine",
        )


def _storage_refused(error: OSError) -> StartRefusedError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StartRefusedError(
            "disk-full",
            "there is no space left on the runner's disk for the session",
            "free some space on the runner and start again",
        )
    return StartRefusedError("storage", f"the runner cannot store the session: {error.strerror}")
