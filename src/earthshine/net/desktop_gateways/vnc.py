"""A VNC server's desktop in a browser (noVNC). The password stays here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from earthshine.net.bridge import ByteStream
from earthshine.protocols.rfb import (
    BadMessageError,
    BrowserHandshake,
    BrowserStage,
    ClientMessages,
    RefusedError,
    RfbError,
    ServerHandshake,
    ServerInit,
    ServerStage,
    UnsupportedError,
)

from .browser import BinaryBrowser, BrowserLeftError
from .outcome import CLOSE_REFUSED, Ending, GatewayError, Part, close_reason, stage, until_one_ends

SERVER_SECONDS: Final = 10.0
BROWSER_SECONDS: Final = 10.0
TELL_SECONDS: Final = 3.0


class VncGateway:
    """One viewer of a VNC server. `extended_clipboard` only for servers known to speak it."""

    def __init__(
        self,
        server: ByteStream,
        browser: BinaryBrowser,
        *,
        password: str | None,
        view_only: bool,
        extended_clipboard: bool = False,
        steering: Callable[[int], bool] = lambda _: True,
    ) -> None:
        """`steering`: see `ClientMessages`."""
        self._server = server
        self._browser = browser
        self._password = password
        self._messages = ClientMessages(
            view_only=view_only, extended_clipboard=extended_clipboard, steering=steering
        )
        self._is_relaying = False

    async def set_view_only(self, view_only: bool) -> None:
        """From now on. Keys and buttons that a former controller holds down are released."""
        if not view_only or self._messages.view_only:
            self._messages.view_only = view_only
            return
        released = self._messages.take_control()
        if released and self._is_relaying:
            with contextlib.suppress(OSError):  # the relay notices as well
                await self._server.write(released)

    async def run(self) -> Ending:
        """Serve until either side ends. Raises GatewayError."""
        try:
            try:
                desktop, early = await self._greet_server()
            except GatewayError as error:
                await tell_refusal(self._browser, error.detail)
                raise
            typed = await _greet(self._browser, BrowserHandshake(desktop), BROWSER_SECONDS)
            self._is_relaying = True
            return await until_one_ends(self._to_browser(early), self._to_server(typed))
        except BrowserLeftError:
            return Ending.BROWSER
        finally:
            self._server.abort()

    async def _greet_server(self) -> tuple[ServerInit, bytes]:
        handshake = ServerHandshake(self._password)
        try:
            async with asyncio.timeout(SERVER_SECONDS):
                while handshake.stage is not ServerStage.DONE:
                    data = await self._server.read()
                    if not data and (error := handshake.refused_at_end()) is not None:
                        raise error
                    await self._server.write(handshake.receive(data))
        except TimeoutError:
            raise GatewayError(
                Part.VNC_SERVER,
                f"The VNC server did not send {handshake.stage.value} within {SERVER_SECONDS:g} s.",
                remedy="Check that a VNC server listens at this address.",
            ) from None
        except RfbError as error:
            raise _server_error(error) from error
        except OSError as error:
            raise GatewayError(
                Part.VNC_SERVER,
                f"The VNC server broke the connection before {handshake.stage.value}.",
            ) from error
        assert handshake.desktop is not None
        return handshake.desktop, handshake.early

    async def _to_browser(self, early: bytes) -> Ending:
        try:
            if early:
                await self._browser.send_bytes(early)
            while data := await self._server.read():
                await self._browser.send_bytes(data)
        except BrowserLeftError:
            return Ending.BROWSER
        except OSError as error:
            raise _broken() from error
        return Ending.SERVER

    async def _to_server(self, early: bytes) -> Ending:
        try:
            passed = self._messages.receive(early)
            while True:
                if passed:
                    await self._server.write(passed)
                passed = self._messages.receive(await self._browser.receive_bytes())
        except BrowserLeftError:
            return Ending.BROWSER
        except RfbError as error:
            raise _browser_error(error) from error
        except OSError as error:
            raise _broken() from error


async def tell_refusal(browser: BinaryBrowser, words: str) -> None:
    """Say why there is no desktop, the way RFB servers do; best effort, and not for long."""
    with contextlib.suppress(GatewayError, BrowserLeftError):
        await _greet(browser, BrowserHandshake(None, refusal=words), TELL_SECONDS)


async def _greet(browser: BinaryBrowser, handshake: BrowserHandshake, seconds: float) -> bytes:
    """The browser's handshake; what it sent behind it."""
    try:
        async with stage(Part.BROWSER, "its side of the handshake", seconds):
            await browser.send_bytes(handshake.begin())
            while handshake.stage is not BrowserStage.DONE:
                answer = handshake.receive(await browser.receive_bytes())
                if answer:
                    await browser.send_bytes(answer)
    except RfbError as error:
        raise _browser_error(error) from error
    return handshake.early


def _broken() -> GatewayError:
    return GatewayError(Part.VNC_SERVER, "The connection to the VNC server broke.")


def _browser_error(error: RfbError) -> GatewayError:
    detail = f"The browser was disconnected: {error}."
    return GatewayError(Part.BROWSER, detail, close=(CLOSE_REFUSED, close_reason(detail)))


def _server_error(error: RfbError) -> GatewayError:
    remedy: str | None = None
    match error:
        case RefusedError():
            remedy = "Check the password that is kept for this desktop, and try again in a minute."
        case UnsupportedError():
            remedy = "Start the VNC server with -SecurityTypes VncAuth, listening on loopback only."
        case BadMessageError():
            remedy = "Check that a VNC server listens at this address."
    words = str(error)
    detail = words[0].upper() + words[1:]
    return GatewayError(Part.VNC_SERVER, detail.rstrip(".") + ".", remedy=remedy)
