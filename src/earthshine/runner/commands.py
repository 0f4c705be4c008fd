"""Carrying out what the control plane commands, each in its own small way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec

from earthshine.protocols.envelope import (
    AdjustRdp,
    Attend,
    CloseDesktop,
    ControlPayload,
    DesktopPlaces,
    Done,
    Forget,
    Input,
    Interrupt,
    LendRdp,
    LendRfb,
    ListFolders,
    OpenDesktop,
    OpenTransfers,
    Prompt,
    RdpLent,
    RdpOffer,
    RecordingCondition,
    Refused,
    Resize,
    RfbLent,
    SessionCondition,
    SetRecording,
    Start,
    Stop,
    TransferPlace,
)
from earthshine.protocols.revdial import Dial, DialSpares
from earthshine.runner import workspace
from earthshine.runner.desktops.keeper import DesktopError
from earthshine.runner.desktops.opening import Desktops
from earthshine.runner.desktops.recording.recordings import Recordings
from earthshine.runner.policy.rules import Policy, PolicyRefusedError
from earthshine.runner.sessions.held import HolderGoneError
from earthshine.runner.sessions.keeper import SessionKeeper, StartRefusedError
from earthshine.runner.transfers.server import TransferServer

MAX_UNDER_WAY: Final = 256
"""Commands that may be under way at once."""
OnRdp = TypeVar("OnRdp", LendRdp, AdjustRdp)
OnDesktop = OpenDesktop | CloseDesktop | LendRfb | LendRdp | AdjustRdp
Request = (
    Start
    | Prompt
    | Interrupt
    | Stop
    | Forget
    | ListFolders
    | OnDesktop
    | OpenTransfers
    | SetRecording
)
log = logging.getLogger(__name__)


class CommandRefusedError(Exception):
    """A command cannot be carried out: `code`, words, and what to do."""

    def __init__(self, code: str, detail: str, remedy: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.remedy = remedy


class Commands:
    """Takes control payloads. What needs time runs in `tasks`, which outlives a connection."""

    def __init__(
        self,
        keeper: SessionKeeper,
        answer: Callable[[ControlPayload, str | None], Awaitable[None]],
        dial: Callable[[Dial | DialSpares], None],
        tasks: asyncio.TaskGroup,
        *,
        policy: Callable[[], Policy] = Policy,
        condition: Callable[[str, SessionCondition], None] = lambda *_: None,
        desktops: Desktops | None = None,
        transfers: TransferServer | None = None,
        recordings: Recordings | None = None,
    ) -> None:
        """`policy` gives the one in force; `condition` tells something about a session."""
        self._policy = policy
        self._desktops = desktops
        self._transfers = transfers
        self._recordings = recordings
        self._condition = condition
        self._typing_refused: dict[str, str] = {}
        self._keeper = keeper
        self._answer = answer
        self._dial = dial
        self._tasks = tasks
        self._under_way = 0

    def obey(self, session_id: str | None, command: ControlPayload) -> None:
        """Carry out a command. Never blocks, never raises."""
        match command:
            case Dial() | DialSpares():
                self._dial(command)
            case Input() | Resize() | Attend():
                # In order and at once; on a session that has ended they mean nothing.
                with contextlib.suppress(HolderGoneError):
                    self._tell_now(session_id or "", command)
            case Start() | Prompt() | Interrupt() | Stop() | Forget() | ListFolders():
                self._begin(session_id, command)
            case (
                OpenDesktop()
                | CloseDesktop()
                | LendRfb()
                | LendRdp()
                | AdjustRdp()
                | OpenTransfers()
                | SetRecording()
            ):
                self._begin(session_id, command)
            case _:
                log.warning("a command that is not for a runner: %s", type(command).__name__)

    def _tell_now(self, session_id: str, command: Input | Resize | Attend) -> None:
        policy = self._policy()
        try:
            if isinstance(command, Input):
                policy.check_typing(command.by)
        except PolicyRefusedError as error:
            self._typing_is_refused(session_id, error)
            return
        if isinstance(command, Input) and self._typing_refused.pop(session_id, ""):
            session = self._keeper.get(session_id)
            if session is not None and session.condition.code == "ok":
                self._condition(session_id, SessionCondition(code="ok"))
        if isinstance(command, Attend) and not policy.viewers_answer:
            command = Attend(attended=False)  # or programs would wait for answers that we refuse
        self._tell(session_id, command)

    def _typing_is_refused(self, session_id: str, error: PolicyRefusedError) -> None:
        """Key strokes have no answer: the session says it, once for each reason."""
        if self._typing_refused.get(session_id) == error.detail:
            return
        if len(self._typing_refused) >= MAX_UNDER_WAY:
            self._typing_refused.clear()
        self._typing_refused[session_id] = error.detail
        log.warning("refused: %s", error.detail, extra={"session": session_id, "rule": error.rule})
        self._condition(
            session_id, SessionCondition(code=error.code, detail=error.detail, remedy=error.remedy)
        )

    def _begin(
        self,
        session_id: str | None,
        command: Request,
    ) -> None:
        if self._under_way >= MAX_UNDER_WAY:
            log.warning("too many commands at once; one was dropped")
            return
        self._under_way += 1
        self._tasks.create_task(self._carry_out(session_id, command))

    async def _carry_out(
        self,
        session_id: str | None,
        command: Request,
    ) -> None:
        try:
            answer: ControlPayload = Done(
                request_id=command.request_id, value=await self._do(session_id, command)
            )
        except (
            CommandRefusedError,
            StartRefusedError,
            DesktopError,
            workspace.WorkspaceError,
        ) as error:
            answer = Refused(
                request_id=command.request_id,
                code=error.code,
                detail=error.detail,
                remedy=error.remedy,
            )
        except PolicyRefusedError as error:
            log.warning(
                "refused: %s", error.detail, extra={"session": session_id, "rule": error.rule}
            )
            answer = Refused(
                request_id=command.request_id,
                code=error.code,
                detail=error.detail,
                remedy=error.remedy,
            )
        except HolderGoneError as error:
            answer = Refused(request_id=command.request_id, code="ended", detail=str(error))
        except Exception as error:  # one bad command must not end the runner
            log.exception("a command failed")
            answer = Refused(
                request_id=command.request_id,
                code="internal",
                detail=f"the runner failed: {type(error).__name__}",
                remedy="see the runner's log",
            )
        finally:
            self._under_way -= 1
        with contextlib.suppress(OSError):  # the control plane asks again after a break
            await self._answer(answer, session_id)

    async def _do(
        self,
        session_id: str | None,
        command: Request,
    ) -> Any:
        if isinstance(command, ListFolders):
            policy = self._policy()
            path = await asyncio.to_thread(policy.folder, command.path)
            listing = await workspace.list_folders(path)
            return await asyncio.to_thread(policy.listing, listing)
        if isinstance(command, LendRdp | AdjustRdp) and not session_id:
            return await self._on_machine(command)
        if isinstance(command, OpenTransfers):
            return await self._open_transfers()
        if session_id is None:
            raise CommandRefusedError("invalid", "the command names no session")
        if isinstance(command, Start):
            await self._keeper.start(session_id, command)
        elif isinstance(command, Forget):
            await self._keeper.forget(session_id)
        elif isinstance(command, OnDesktop):
            return await self._on_desktop(session_id, command)
        elif isinstance(command, SetRecording):
            return await self._record(session_id, command)
        else:
            if isinstance(command, Prompt):
                self._policy().check_typing(command.by)
            else:
                self._policy().check_person(command.by)
            self._tell(session_id, command)
        return None

    async def _open_transfers(self) -> TransferPlace:
        if self._transfers is None:
            raise CommandRefusedError("no-transfers", "this runner transfers no files")
        try:
            return TransferPlace(destination=f"unix:{await self._transfers.place()}")
        except OSError as error:
            raise CommandRefusedError(
                "storage", f"no socket can be made for files: {error.strerror}"
            ) from None

    async def _record(self, session_id: str, command: SetRecording) -> RecordingCondition:
        if self._recordings is None:
            raise CommandRefusedError("no-desktop", "this runner has no desktops")
        if not command.on:  # which is always allowed
            return await self._recordings.end(session_id)
        self._policy().check_recording(command.by)
        return await self._recordings.begin(session_id, command.by)

    async def _on_desktop(
        self, session_id: str, command: OnDesktop
    ) -> DesktopPlaces | RfbLent | RdpLent | RdpOffer | None:
        if self._desktops is None:
            raise CommandRefusedError("no-desktop", "this runner has no desktops")
        match command:
            case OpenDesktop():
                return await self._desktops.open(session_id)
            case LendRfb():
                return await self._desktops.lend_rfb(session_id, command)
            case LendRdp():
                return await self._desktops.lend_rdp(session_id, self._as_permitted(command))
            case AdjustRdp():
                return await self._desktops.adjust_rdp(session_id, self._as_permitted(command))
            case CloseDesktop():
                await self._desktops.stop(session_id)
        return None

    async def _on_machine(self, command: LendRdp | AdjustRdp) -> RdpLent | RdpOffer:
        machine = None if self._desktops is None else self._desktops.machine
        if machine is None:
            raise CommandRefusedError("no-rdp", "this runner does not lend its machine's desktop")
        if isinstance(command, AdjustRdp):
            return await machine.adjust(command)
        self._policy().check_typing(command.by)
        return await machine.lend(command)

    def _as_permitted(self, wish: OnRdp) -> OnRdp:
        """Whom this machine lets nobody type for may still watch."""
        try:
            self._policy().check_typing(wish.by)
        except PolicyRefusedError:
            return msgspec.structs.replace(wish, view_only=True)
        return wish

    def _tell(
        self,
        session_id: str | None,
        command: Input | Resize | Attend | Prompt | Interrupt | Stop,
    ) -> None:
        session = self._keeper.get(session_id or "")
        if session is None:
            raise HolderGoneError("the session has ended")
        session.tell(command)
