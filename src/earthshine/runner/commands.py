"""Carrying out what the control plane commands, each in its own small way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from earthshine.protocols.envelope import (
    Attend,
    ControlPayload,
    Done,
    Forget,
    Input,
    Interrupt,
    ListFolders,
    Prompt,
    Refused,
    Resize,
    Start,
    Stop,
)
from earthshine.protocols.revdial import Dial, DialSpares
from earthshine.runner import workspace
from earthshine.runner.sessions.held import HolderGoneError
from earthshine.runner.sessions.keeper import SessionKeeper, StartRefusedError

MAX_UNDER_WAY: Final = 256
"""Commands that may be under way at once."""
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
    ) -> None:
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
                    self._tell(session_id, command)
            case Start() | Prompt() | Interrupt() | Stop() | Forget() | ListFolders():
                self._begin(session_id, command)
            case _:
                log.warning("a command that is not for a runner: %s", type(command).__name__)

    def _begin(
        self,
        session_id: str | None,
        command: Start | Prompt | Interrupt | Stop | Forget | ListFolders,
    ) -> None:
        if self._under_way >= MAX_UNDER_WAY:
            log.warning("too many commands at once; one was dropped")
            return
        self._under_way += 1
        self._tasks.create_task(self._carry_out(session_id, command))

    async def _carry_out(
        self,
        session_id: str | None,
        command: Start | Prompt | Interrupt | Stop | Forget | ListFolders,
    ) -> None:
        try:
            answer: ControlPayload = Done(
                request_id=command.request_id, value=await self._do(session_id, command)
            )
        except (CommandRefusedError, StartRefusedError, workspace.WorkspaceError) as error:
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
        command: Start | Prompt | Interrupt | Stop | Forget | ListFolders,
    ) -> Any:
        if isinstance(command, ListFolders):
            return await workspace.list_folders(command.path)
        if session_id is None:
            raise CommandRefusedError("invalid", "the command names no session")
        if isinstance(command, Start):
            await self._keeper.start(session_id, command)
        elif isinstance(command, Forget):
            await self._keeper.forget(session_id)
        else:
            self._tell(session_id, command)
        return None

    def _tell(
        self,
        session_id: str | None,
        command: Input | Resize | Attend | Prompt | Interrupt | Stop,
    ) -> None:
        session = self._keeper.get(session_id or "")
        if session is None:
            raise HolderGoneError("the session has ended")
        session.tell(command)
