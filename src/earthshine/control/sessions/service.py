"""What people can do with sessions. The rules are here; routes and sockets only translate."""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from earthshine.control import metrics
from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.audit.keystrokes import TypingSessions
from earthshine.control.audit.kinds import AuditKind, Detail, Trail
from earthshine.control.authorization import SessionRole
from earthshine.control.errors import (
    ConflictError,
    DomainError,
    InvalidRequestError,
    NotFoundError,
    RunnerUnavailableError,
)
from earthshine.control.runners.connection import CommandRefusedError
from earthshine.control.runners.directory import Runner, RunnerDirectory
from earthshine.control.sessions import recorded
from earthshine.control.sessions.channel import Channel, ChannelBook, Viewer
from earthshine.control.sessions.intake import SessionIntake
from earthshine.control.sessions.journal import Journal
from earthshine.control.sessions.record import SessionRecord
from earthshine.control.sessions.schemas import (
    Reason,
    SessionList,
    SessionState,
    SessionView,
    StartSession,
    WorktreeView,
)
from earthshine.control.sessions.storage import Filter, SessionStorage
from earthshine.control.sessions.watching import Watcher
from earthshine.protocols import envelope
from earthshine.protocols.envelope import RecordingCondition
from earthshine.protocols.feed import MAX_INPUT


class Names(Protocol):
    """Who people are."""

    async def name(self, person_id: str) -> str:
        """A person's name."""
        ...


class SessionAccess(Access, Protocol):
    """Decides, and knows roles."""

    async def role_in(self, actor: Actor, session_id: str) -> SessionRole | None:
        """What the actor is to a session; None for a stranger."""
        ...


class AgentSecrets(Protocol):
    """What agents get in their environment."""

    async def for_session(self, actor: Actor, session_id: str, runner_id: str) -> dict[str, str]:
        """Names and values. Raises DomainError."""
        ...

    async def masking(self, person_ids: Iterable[str], runner_id: str) -> Callable[[str], str]:
        """Takes known values out of what is recorded."""
        ...


class SessionService:
    """Starting, steering, listing, reading. What is done is recorded before it is done."""

    def __init__(
        self,
        storage: SessionStorage,
        access: SessionAccess,
        runners: RunnerDirectory,
        book: ChannelBook,
        journal: Journal,
        intake: SessionIntake,
        names: Names,
        trail: Trail,
        typing: TypingSessions,
        agent_secrets: AgentSecrets,
    ) -> None:
        self.access = access
        self.log = storage.log
        self._storage = storage
        self._runners = runners
        self._book = book
        self._journal = journal
        self._intake = intake
        self._names = names
        self._trail = trail
        self._typing = typing
        self._secrets = agent_secrets
        self._adding = asyncio.Lock()
        self.on_removed: Callable[[str], None] = lambda _: None

    # --- starting --------------------------------------------------------------------------------

    @permits(Permission.SESSION_START)
    async def start(self, actor: Actor, request: StartSession) -> SessionView:
        """Start an agent; returns when the runner has it under way or has said why not."""
        async with self._adding:  # the same request may come twice at once
            if request.command_id is not None:
                known = await self._by_command(actor.person_id, request.command_id)
                if known is not None:
                    return await self._view(known)
            channel = await self._add(actor, request)
        self._journal.on_change(channel)
        metrics.SESSIONS_STARTED.labels(request.agent).inc()
        await self._begin(actor, channel, request)
        return await self._view(channel.record)

    async def _add(self, actor: Actor, request: StartSession) -> Channel:
        runner = await self._choose(actor, request)
        session_id = secrets.token_hex(10)
        worktree = self._worktree(session_id, request)
        record = SessionRecord(
            id=session_id,
            owner_id=actor.person_id,
            runner_id=runner.id,
            command_id=request.command_id,
            title=request.title.strip() or _title(request),
            agent=request.agent,
            command=request.command,
            prompt=request.prompt,
            folder=request.folder or runner.home,
            worktree=worktree,
            desktop=request.desktop.model_dump() if request.desktop else None,
            state=SessionState.QUEUED,
            reason=None,
            exit_code=None,
            signal=None,
            cols=request.cols,
            rows=request.rows,
            last_seq=0,
            log_bytes=0,
            created_at=datetime.now(UTC),
            started_at=None,
            ended_at=None,
            last_output_at=None,
        )
        await self._record_start(actor, record)
        await self._storage.add(record)
        return self._book.add(record)

    async def _record_start(self, actor: Actor, record: SessionRecord) -> None:
        details: dict[str, Detail] = {
            "agent": record.agent,
            "command": record.command,
            "folder": record.folder,
            "prompt": record.prompt,
        }
        if record.desktop and record.desktop.get("record"):
            details["recorded"] = True
        if record.worktree:
            details |= {key: record.worktree[key] for key in ("repository", "branch")}
        await self._record(AuditKind.SESSION_STARTED, actor, record, details)

    async def _record(
        self,
        kind: AuditKind,
        actor: Actor,
        record: SessionRecord,
        details: dict[str, Detail] | None = None,
    ) -> None:
        """In full, but for the secrets that are known by name: nobody need keep those twice."""
        mask = await self._secrets.masking({actor.person_id, record.owner_id}, record.runner_id)
        await self._trail.record(
            kind,
            actor,
            subject=mask(record.title),
            session_id=record.id,
            runner_id=record.runner_id,
            details={key: _masked(value, mask) for key, value in (details or {}).items()},
        )

    async def _choose(self, actor: Actor, request: StartSession) -> Runner:
        """The runner that was asked for, if the actor may use it; else one that is there for them.

        Nobody's session goes to a machine of somebody else's that is not shared, an admin's neither
        unless they name it.
        """
        if request.runner_id is not None:
            await self.access.require(actor, Permission.RUNNER_USE, request.runner_id)
            runner = self._runners.get(request.runner_id)
            self._runners.connection(runner.id)
            return runner
        connected = [
            runner
            for runner in self._runners
            if runner.is_connected and not runner.is_revoked and runner.is_for(actor.person_id)
        ]
        if not connected:
            raise RunnerUnavailableError(
                "No runner is connected.",
                remedy="Pair one on the Runners page, or run `earthshine up`.",
            )
        able = [runner for runner in connected if runner.offers(request.agent)]
        # With nobody able, the first one's own words say what is missing.
        return min(able or connected, key=lambda runner: (self._load(runner), runner.name))

    def _load(self, runner: Runner) -> int:
        return sum(
            1
            for channel in self._book
            if channel.record.runner_id == runner.id and not channel.record.is_final
        )

    def _worktree(self, session_id: str, request: StartSession) -> dict[str, Any] | None:
        if request.worktree is None:
            return None
        if request.folder is not None:
            raise InvalidRequestError("Give a folder or a worktree, not both.")
        branch = request.worktree.branch or f"earthshine/{session_id[:8]}"
        return {
            "repository": request.worktree.repository,
            "branch": branch,
            "base": request.worktree.base,
        }

    async def _begin(self, actor: Actor, channel: Channel, request: StartSession) -> None:
        record = channel.record
        worktree = record.worktree
        try:
            environment = await self._secrets.for_session(actor, record.id, record.runner_id)
        except DomainError as error:
            await self._intake.fail(channel, error.code, error.detail, error.remedy)
            return
        command = envelope.Start(
            request_id="",
            agent=record.agent,
            argv=record.command,
            folder=request.folder,
            worktree=envelope.Worktree(**worktree) if worktree else None,
            desktop=envelope.DesktopWish(**record.desktop) if record.desktop else None,
            prompt=record.prompt,
            by=actor.name,
            cols=record.cols,
            rows=record.rows,
            environment=environment,
        )
        try:
            await self._runners.request(record.runner_id, record.id, command)
        except CommandRefusedError as error:
            await self._intake.fail(channel, error.reason, error.detail, error.remedy)
        except RunnerUnavailableError as error:
            # It may have begun: the next greeting of the runner tells, or ends it.
            if not self._runners.get(record.runner_id).is_connected:
                return
            await self._intake.fail(channel, error.code, error.detail, error.remedy)

    async def _by_command(self, owner_id: str, command_id: str) -> SessionRecord | None:
        session_id = await self._storage.by_command(owner_id, command_id)
        channel = await self._book.open(session_id) if session_id else None
        return channel.record if channel else None

    # --- reading ---------------------------------------------------------------------------------

    @permits(Permission.SESSION_LIST)
    async def list(
        self, actor: Actor, which: Filter, limit: int, cursor: str | None
    ) -> SessionList:
        """The sessions that are the actor's or shared with them, all for an admin; newest first."""
        person_id = None if actor.is_admin else actor.person_id
        before = None if cursor is None else _position(cursor)
        found = await self._storage.page(person_id, which, limit + 1, before)
        records = [self._current(record) for record in found[:limit]]
        return SessionList(
            sessions=[await self._view(record) for record in records],
            next_cursor=_cursor(records[-1]) if len(found) > limit else None,
        )

    def _current(self, record: SessionRecord) -> SessionRecord:
        """What is in memory is ahead of the row."""
        channel = self._book.live(record.id)
        return record if channel is None else channel.record

    @permits(Permission.SESSION_VIEW)
    async def get(self, actor: Actor, session_id: str) -> SessionView:
        """One session."""
        return await self._view((await self.channel(session_id)).record)

    @permits(Permission.SESSION_VIEW)
    async def watch(self, actor: Actor, session_id: str) -> Channel:
        """The session's live end, for reading."""
        return await self.channel(session_id)

    async def channel(self, session_id: str) -> Channel:
        """The session's live end. Raises NotFoundError. Not a way in for people: see `watch`."""
        channel = await self._book.open(session_id)
        if channel is None:
            raise NotFoundError("There is no such session, or it is not yours.")
        return channel

    @permits(Permission.SESSION_VIEW)
    async def role(self, actor: Actor, session_id: str) -> SessionRole:
        """What the actor is to the session."""
        role = await self.access.role_in(actor, session_id)
        if role is None:
            raise NotFoundError("There is no such session, or it is not yours.")
        return role

    async def review(self, session_id: str) -> None:
        """Whom the session is shared with has changed: viewers get their new role, or go."""
        channel = self._book.live(session_id)
        if channel is None:
            return
        watchers: set[Watcher] = {*channel.viewers, *channel.watchers}
        for watcher in watchers:
            role = await self.access.role_in(watcher.actor, session_id)
            if role is None:
                watcher.put_out.set()
            else:
                watcher.role = role
            if channel.leader is watcher and not watcher.may(Permission.SESSION_CONTROL):
                self.lead(channel, None)
            watcher.changed.set()

    def is_removed(self, channel: Channel) -> bool:
        """Whether the session was deleted while somebody watched."""
        return self._book.live(channel.record.id) is not channel

    async def view(self, channel: Channel) -> SessionView:
        """A session as people see it."""
        return await self._view(channel.record)

    async def _view(self, record: SessionRecord) -> SessionView:
        runner = self._runners.known(record.runner_id)
        channel = self._book.live(record.id)
        reason = record.reason
        if channel is not None and channel.condition.code != "ok" and not record.is_final:
            condition = channel.condition
            reason = {
                "code": condition.code,
                "detail": condition.detail,
                "remedy": condition.remedy,
            }
        return SessionView(
            id=record.id,
            title=record.title,
            agent=record.agent,
            command=record.command,
            prompt=record.prompt,
            runner_id=record.runner_id,
            runner_name=runner.name if runner else "?",
            runner_connected=runner is not None and runner.is_connected,
            owner_id=record.owner_id,
            owner_name=await self._names.name(record.owner_id),
            folder=record.folder,
            worktree=WorktreeView(
                repository=record.worktree["repository"], branch=record.worktree["branch"]
            )
            if record.worktree
            else None,
            has_desktop=record.desktop is not None,
            recorded=recorded.view(channel),
            state=record.state,
            reason=Reason(**reason) if reason else None,
            exit_code=record.exit_code,
            signal=record.signal,
            cols=record.cols,
            rows=record.rows,
            last_seq=record.last_seq,
            log_bytes=record.log_bytes,
            created_at=record.created_at,
            started_at=record.started_at,
            ended_at=record.ended_at,
            last_output_at=record.last_output_at,
        )

    # --- steering --------------------------------------------------------------------------------

    @permits(Permission.SESSION_CONTROL)
    async def prompt(self, actor: Actor, session_id: str, text: str, command_id: str | None) -> str:
        """Give the agent a prompt."""
        return await self._steer(
            actor,
            session_id,
            command_id,
            (AuditKind.PROMPTED, {"text": text}),
            lambda cid: envelope.Prompt(request_id="", text=text, by=actor.name, command_id=cid),
        )

    @permits(Permission.SESSION_CONTROL)
    async def interrupt(self, actor: Actor, session_id: str, command_id: str | None) -> str:
        """Interrupt what the agent is doing."""
        return await self._steer(
            actor,
            session_id,
            command_id,
            (AuditKind.INTERRUPTED, {}),
            lambda cid: envelope.Interrupt(request_id="", by=actor.name, command_id=cid),
        )

    @permits(Permission.SESSION_CONTROL)
    async def stop(
        self, actor: Actor, session_id: str, how: Literal["stop", "kill"], command_id: str | None
    ) -> str:
        """End the agent."""
        return await self._steer(
            actor,
            session_id,
            command_id,
            (AuditKind.STOPPED, {"how": how}),
            lambda cid: envelope.Stop(request_id="", by=actor.name, how=how, command_id=cid),
        )

    async def _steer(
        self,
        actor: Actor,
        session_id: str,
        command_id: str | None,
        what: tuple[AuditKind, dict[str, Detail]],
        command: Callable[[str], envelope.ControlPayload],
    ) -> str:
        channel = await self._living(session_id)
        command_id = command_id or secrets.token_hex(8)
        kind, details = what
        await self._record(kind, actor, channel.record, {**details, "commandId": command_id})
        await self._runners.request(channel.record.runner_id, session_id, command(command_id))
        return command_id

    async def _living(self, session_id: str) -> Channel:
        channel = await self.channel(session_id)
        if channel.record.is_final:
            raise ConflictError("The session has ended.", remedy="Start a new one.")
        return channel

    @permits(Permission.SESSION_CONTROL)
    async def type(self, actor: Actor, session_id: str, data: bytes) -> None:
        """Key strokes."""
        channel = await self._living(session_id)
        self.type_into(actor, channel, data)

    def type_into(self, actor: Actor, channel: Channel, data: bytes) -> None:
        """Key strokes of somebody whose right to type was checked when they came."""
        if len(data) > MAX_INPUT:
            raise InvalidRequestError(f"At most {MAX_INPUT} bytes at once.")
        record = channel.record
        if not record.is_final:
            self._typing.typed(actor, record.id, record.runner_id, len(data))
            self._runners.tell(
                record.runner_id, record.id, envelope.Input(data=data, by=actor.name)
            )

    def left(self, actor: Actor, channel: Channel) -> None:
        """A viewer has gone: whatever it typed is all there is."""
        self._typing.left(actor, channel.record.id)

    @permits(Permission.SESSION_CONTROL)
    async def resize(
        self,
        actor: Actor,
        session_id: str,
        cols: int,
        rows: int,
    ) -> None:
        """Give the terminal another size."""
        self.resize_terminal(await self._living(session_id), cols, rows)

    def resize_terminal(self, channel: Channel, cols: int, rows: int) -> None:
        """As above, for somebody whose right was checked when they came."""
        record = channel.record
        if not record.is_final and (record.cols, record.rows) != (cols, rows):
            self._runners.tell(record.runner_id, record.id, envelope.Resize(cols=cols, rows=rows))

    # --- leading ---------------------------------------------------------------------------------

    def lead(self, channel: Channel, viewer: Viewer | None) -> None:
        """Let a viewer answer the terminal's cursor queries and decide its size; None: nobody."""
        if channel.leader is viewer:
            return
        before, channel.leader = channel.leader, viewer
        channel.wake()
        if (before is None) is not (viewer is None) and not channel.record.is_final:
            self._attend(channel, attended=viewer is not None)
        if viewer is not None and viewer.size is not None:
            self._try(lambda: self.resize_terminal(channel, *viewer.size))  # type: ignore[misc]

    def attend_again(self, channel: Channel) -> None:
        """The runner has come back: its holders take nobody for attending until told."""
        if channel.leader is not None:
            self._attend(channel, attended=True)

    def _attend(self, channel: Channel, *, attended: bool) -> None:
        record = channel.record
        self._try(
            lambda: self._runners.tell(
                record.runner_id, record.id, envelope.Attend(attended=attended)
            )
        )

    def _try(self, action: Callable[[], None]) -> None:
        """For what means nothing while the runner is away."""
        try:
            action()
        except DomainError:
            return

    def recording_changed(self, channel: Channel, condition: RecordingCondition) -> None:
        """Whether the desktop is recorded: everybody in the session is told."""
        known, channel.recording = channel.recording, condition
        if recorded.shown(known) != recorded.shown(condition):
            channel.wake(session=True)
            self._journal.on_change(channel)

    # --- keeping ---------------------------------------------------------------------------------

    @permits(Permission.SESSION_OWN)
    async def rename(self, actor: Actor, session_id: str, title: str) -> SessionView:
        """Give a session another title."""
        channel = await self.channel(session_id)
        channel.record.title = title
        await self._storage.rename(session_id, title)
        channel.wake(session=True)
        self._journal.on_change(channel)
        return await self._view(channel.record)

    @permits(Permission.SESSION_OWN)
    async def delete(self, actor: Actor, session_id: str) -> None:
        """Remove an ended session and its log."""
        channel = await self.channel(session_id)
        record = channel.record
        if not record.is_final:
            raise ConflictError("The session still runs.", remedy="Stop it first.")
        await self._record(AuditKind.SESSION_DELETED, actor, record)
        channel.removed = True
        try:
            await self._journal.drain()
            await self._storage.delete(session_id)
        except BaseException:
            channel.removed = False
            raise
        self._book.drop(session_id)
        self.on_removed(session_id)
        await self._forget(record)

    async def _forget(self, record: SessionRecord) -> None:
        try:
            forget = envelope.Forget(request_id="")
            await self._runners.request(record.runner_id, record.id, forget)
        except DomainError:
            return  # the runner keeps at most a clean worktree; it is not connected, or has none


def _masked(value: Detail, mask: Callable[[str], str]) -> Detail:
    if isinstance(value, str):
        return mask(value)
    return [mask(item) for item in value] if isinstance(value, list) else value


def decode_input(data: str) -> bytes:
    """Base64 to key strokes. Raises InvalidRequestError."""
    try:
        decoded = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequestError("data is not base64.") from None
    return decoded


def _title(request: StartSession) -> str:
    if request.prompt:
        first = request.prompt.strip().splitlines()[0] if request.prompt.strip() else ""
        if first:
            return first[:80]
    if request.agent == "command" and request.command:
        return " ".join(request.command)[:80]
    return request.agent


def _cursor(record: SessionRecord) -> str:
    return f"{record.created_at.isoformat()}~{record.id}"


def _position(cursor: str) -> tuple[datetime, str]:
    at, _, session_id = cursor.partition("~")
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise InvalidRequestError("That cursor was not made by this server.") from None
    if moment.tzinfo is None or not session_id:
        raise InvalidRequestError("That cursor was not made by this server.")
    return moment, session_id
