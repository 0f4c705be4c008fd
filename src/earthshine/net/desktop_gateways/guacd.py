"""A desktop that guacd shows, in a browser (guacamole-common-js). Passwords go to guacd only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from earthshine.net.bridge import ByteStream
from earthshine.protocols.guacamole import (
    GuacamoleError,
    GuacdRefusedError,
    Handshake,
    Instruction,
    NewConnection,
    RunningConnection,
    Stage,
    Status,
    Tunnel,
    Viewer,
    close_of,
    refusal,
)

from .browser import BrowserLeftError, TextBrowser
from .outcome import Ending, GatewayError, Part, until_one_ends

HANDSHAKE_SECONDS: Final = 10.0
"""Below the 15 s of silence after which guacamole-common-js gives up by itself."""
SHOW_SECONDS: Final = 30.0
"""From guacd's `ready` to the first complete picture."""
GOODBYE_SECONDS: Final = 1.0


class GuacamoleGateway:
    """One viewer of a connection of guacd, opened for it or joined.

    `connected` completes with guacd's id of the connection, with which others can join it.
    """

    def __init__(
        self,
        guacd: ByteStream,
        browser: TextBrowser,
        connection: NewConnection | RunningConnection,
        viewer: Viewer,
        *,
        tunnel_id: str,
        steering: Callable[[int], bool] = lambda _: True,
    ) -> None:
        """`steering`: see `Tunnel`."""
        self._guacd = guacd
        self._browser = browser
        self._handshake = Handshake(connection, viewer)
        self._protocol = (
            connection.protocol if isinstance(connection, NewConnection) else "shared connection"
        )
        self._tunnel = Tunnel(tunnel_id, read_only=viewer.read_only, steering=steering)
        self._is_relaying = False
        self.connected: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def unused_parameters(self) -> frozenset[str]:
        """Names among the connection's parameters that this guacd does not know."""
        return self._handshake.unused

    async def set_view_only(self, view_only: bool) -> None:
        """From now on. Keys and buttons that a former controller holds down are released.

        Giving control does not undo guacd's own `read-only`, with which a viewer's connection was
        opened: such a viewer has to connect again.
        """
        if not view_only or self._tunnel.read_only:
            self._tunnel.read_only = view_only
            return
        released = self._tunnel.take_control()
        if released and self._is_relaying:
            with contextlib.suppress(OSError):  # the relay notices as well
                await self._guacd.write(released)

    async def run(self) -> Ending:
        """Serve until either side ends. Raises GatewayError."""
        try:
            await self._connect()
            await self._browser.send_text(self._tunnel.opened())
            self._is_relaying = True
            ending = await until_one_ends(self._to_browser(), self._to_guacd())
            if ending is Ending.BROWSER:
                await self._say_goodbye()
        except BrowserLeftError:
            ending = Ending.BROWSER
        finally:
            self._guacd.abort()
            self.connected.cancel()
        return ending

    async def _connect(self) -> None:
        handshake = self._handshake
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                await self._guacd.write(handshake.begin())
                while handshake.stage is not Stage.READY:
                    data = await self._guacd.read()
                    if not data:
                        raise _guacd_error(
                            f"guacd closed the connection before {handshake.stage.value}."
                        )
                    answer = handshake.receive(data)
                    if answer:
                        await self._guacd.write(answer)
        except TimeoutError:
            raise GatewayError(
                Part.GUACD,
                f"guacd did not send {handshake.stage.value} for {self._protocol} "
                f"within {HANDSHAKE_SECONDS:g} s.",
                remedy=f"Check that guacd has its plugin for {self._protocol} installed.",
                close=close_of(Status.UPSTREAM_TIMEOUT),
            ) from None
        except GuacdRefusedError as error:
            raise _desktop_error(error) from error
        except GuacamoleError as error:
            raise _guacd_error(f"guacd was not understood: {error}.") from error
        except OSError as error:
            raise _guacd_error(
                f"guacd broke the connection before {handshake.stage.value}."
            ) from error
        if not self.connected.done():
            self.connected.set_result(handshake.connection_id)

    async def _to_browser(self) -> Ending:
        try:
            async with asyncio.timeout(SHOW_SECONDS) as patience:
                return await self._show(patience)
        except TimeoutError:
            raise GatewayError(
                Part.DESKTOP,
                f"The desktop behind guacd showed nothing within {SHOW_SECONDS:g} s.",
                remedy=_REMEDIES[Status.UPSTREAM_TIMEOUT],
                close=close_of(Status.UPSTREAM_TIMEOUT),
            ) from None
        except BrowserLeftError:
            return Ending.BROWSER
        except GuacdRefusedError as error:
            raise _desktop_error(error) from error
        except GuacamoleError as error:
            raise _guacd_error(f"guacd was not understood: {error}.") from error
        except OSError as error:
            raise _guacd_error("The connection to guacd broke.") from error

    async def _show(self, patience: asyncio.Timeout) -> Ending:
        """Pass on what guacd sends; patience is needed until the first picture is complete.

        guacd can fail to say that it failed: about every third time that a VNC server is not
        there, version 1.3 sends `disconnect` or nothing at all in place of its `error`.
        """
        shown = False
        instructions = self._handshake.early
        while True:
            if not shown and any(one.opcode == "sync" for one in instructions):
                shown = True
                patience.reschedule(None)
            # Without a picture `disconnect` is a failure, which the browser would take for success.
            passed = [one for one in instructions if shown or one.opcode != "disconnect"]
            if text := self._tunnel.from_guacd(passed):
                await self._browser.send_text(text)
            for instruction in instructions:
                if instruction.opcode == "error":  # after which guacd keeps the connection open
                    raise refusal(instruction)
                if instruction.opcode == "disconnect":
                    return _ended(shown)
            data = await self._guacd.read()
            if not data:
                return _ended(shown)
            instructions = self._handshake.reader.feed(data)

    async def _to_guacd(self) -> Ending:
        try:
            while True:
                message = await self._browser.receive_text()
                to_guacd, to_browser = self._tunnel.from_browser(message)
                if to_browser:
                    await self._browser.send_text(to_browser)
                if to_guacd:
                    await self._guacd.write(to_guacd)
        except BrowserLeftError:
            return Ending.BROWSER
        except GuacamoleError as error:
            raise GatewayError(
                Part.BROWSER,
                f"The browser was disconnected: {error}.",
                close=close_of(Status.CLIENT_BAD_REQUEST),
            ) from error
        except OSError as error:
            raise _guacd_error("The connection to guacd broke.") from error

    async def _say_goodbye(self) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._guacd.write(Instruction("disconnect").to_guacd())
                await self._guacd.close()  # aborting could overtake what was written


_REMEDIES: Final[dict[Status, str]] = {
    Status.UPSTREAM_NOT_FOUND: "Check that the desktop runs, its address, and its password.",
    Status.CLIENT_UNAUTHORIZED: "Check the user name and the password kept for this desktop.",
    Status.UPSTREAM_TIMEOUT: "Check that the desktop runs and that guacd can reach it.",
    Status.RESOURCE_NOT_FOUND: "Open the desktop anew: whoever shared it has left.",
    Status.SERVER_BUSY: "Close some connections and try again.",
}


def _ended(shown: bool) -> Ending:
    if not shown:
        raise GuacdRefusedError(Status.UPSTREAM_NOT_FOUND, "")
    return Ending.SERVER


def _desktop_error(error: GuacdRefusedError) -> GatewayError:
    status = error.status or Status.UPSTREAM_ERROR
    return GatewayError(
        Part.DESKTOP, str(error), remedy=_REMEDIES.get(status), close=close_of(status)
    )


def _guacd_error(detail: str) -> GatewayError:
    return GatewayError(
        Part.GUACD,
        detail,
        remedy="Check that guacd runs and that its version is 1.3 or newer.",
        close=close_of(Status.UPSTREAM_ERROR),
    )
