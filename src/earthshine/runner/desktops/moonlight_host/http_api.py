"""What clients ask over HTTP and HTTPS, path by path."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from earthshine.net.moonlight.budget import AddressBudget
from earthshine.net.moonlight.http_server import PNG, Answer, Asked
from earthshine.protocols.moonlight import applist, launch, pairing, serverinfo
from earthshine.protocols.moonlight.addresses import neighbourhood
from earthshine.protocols.moonlight.answers import build_answer, unauthorised
from earthshine.protocols.moonlight.applist import build_app_list, parse_asset_request
from earthshine.protocols.moonlight.launch import (
    build_cancel_answer,
    build_launch_answer,
    build_launch_refusal,
    parse_launch,
)
from earthshine.protocols.moonlight.query import Request, RequestError, parse_target
from earthshine.protocols.moonlight.sdp import Codec
from earthshine.protocols.moonlight.serverinfo import (
    HEVC_MAX_LUMA_PIXELS,
    CodecSupport,
    ServerInfo,
)
from earthshine.runner.desktops.moonlight_host.apps import MAX_ART_BYTES
from earthshine.runner.desktops.moonlight_host.session import SessionRefusedError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from earthshine.runner.desktops.moonlight_host.apps import Catalog
    from earthshine.runner.desktops.moonlight_host.pairing_desk import PairingDesk
    from earthshine.runner.desktops.moonlight_host.pairings import PairedClient, Pairings
    from earthshine.runner.desktops.moonlight_host.sessions import Sessions

STRANGERS_PER_SECOND: Final = 20.0
STRANGERS_AT_ONCE: Final = 60.0
"""Requests of one address without a paired certificate."""

_CODECS: Final = {
    Codec.H264: CodecSupport.H264,
    Codec.HEVC: CodecSupport.HEVC_MAIN,
    Codec.AV1: CodecSupport.AV1_MAIN8,
}

log = logging.getLogger(__name__)


class HttpApi:
    """Routes of one host. ``unpair(client)`` ends its session and forgets it."""

    def __init__(
        self,
        *,
        name: str,
        unique_id: str,
        base_port: int,
        codecs: frozenset[Codec],
        desk: PairingDesk,
        pairings: Pairings,
        catalog: Catalog,
        sessions: Sessions,
        to_thread: Callable[..., asyncio.Future[bytes] | Awaitable[bytes]],
    ) -> None:
        self._name = name
        self._unique_id = unique_id
        self._base = base_port
        self._codecs = codecs
        self._desk = desk
        self._pairings = pairings
        self._catalog = catalog
        self._sessions = sessions
        self._to_thread = to_thread
        self._strangers = AddressBudget(STRANGERS_PER_SECOND, STRANGERS_AT_ONCE)
        self._private: dict[str, Callable[[Asked, Request, PairedClient], Awaitable[Answer]]] = {
            serverinfo.PATH: self._own_info,
            applist.PATH: self._apps,
            applist.ASSET_PATH: self._art,
            launch.LAUNCH_PATH: self._launch,
            launch.RESUME_PATH: self._launch,
            launch.CANCEL_PATH: self._cancel,
            pairing.PATH: self._confirm,
        }

    async def answer(self, asked: Asked) -> Answer:
        """Any request. Never raises for what a client sends."""
        client = self._pairings.find(asked.certificate) if asked.secure else None
        if client is None and not self._strangers.take(
            neighbourhood(asked.address), time.monotonic()
        ):
            return Answer(build_answer(status=429, message="Too many requests"), 429)
        try:
            request = parse_target(asked.target)
            if not asked.secure:
                return await self._public(asked, request)
            if client is None:
                return Answer(unauthorised(request.path))
            handler = self._private.get(request.path)
            if handler is None:
                return _not_found(request)
            return await handler(asked, request, client)
        except RequestError as error:
            return Answer(build_answer(status=400, message=str(error)), 400)

    async def _public(self, asked: Asked, request: Request) -> Answer:
        match request.path:
            case serverinfo.PATH:
                return Answer(self._info(asked, None).encode())
            case pairing.PATH:
                return Answer(await self._desk.pair(asked, request, known=False))
            case pairing.UNPAIR_PATH:
                # Without a certificate anybody could ask; only an open attempt is given up.
                unique_id = request.parameters.get("uniqueid", "")
                await self._desk.forget(asked.address, unique_id)
                return Answer(build_answer())
        return _not_found(request)

    async def _own_info(self, asked: Asked, _: Request, client: PairedClient) -> Answer:
        return Answer(self._info(asked, client).encode())

    def _info(self, asked: Asked, client: PairedClient | None) -> ServerInfo:
        session = None if client is None else self._sessions.of(client)
        codecs = CodecSupport(0)
        for codec in self._codecs:
            codecs |= _CODECS[codec]
        return ServerInfo(
            hostname=self._name,
            unique_id=self._unique_id,
            paired=client is not None,
            https_port=self._base - 5,
            external_port=self._base,
            max_luma_pixels_hevc=HEVC_MAX_LUMA_PIXELS if Codec.HEVC in self._codecs else 0,
            local_ip="127.0.0.1" if ":" in asked.local_address else asked.local_address,
            codecs=codecs,
            current_app=0 if session is None else session.app.number,
            busy=session is not None,
        )

    async def _confirm(self, asked: Asked, request: Request, _: PairedClient) -> Answer:
        return Answer(await self._desk.pair(asked, request, known=True))

    async def _apps(self, *_: object) -> Answer:
        return Answer(build_app_list(self._catalog.listing()))

    async def _art(self, _: Asked, request: Request, __: PairedClient) -> Answer:
        app = self._catalog.by_number(parse_asset_request(request))
        if app is None or app.icon_path is None:
            return _not_found(request)
        try:
            data = await self._to_thread(read_art, Path(app.icon_path))
        except OSError:
            return _not_found(request)
        return Answer(data, content_type=PNG)

    async def _launch(self, asked: Asked, request: Request, client: PairedClient) -> Answer:
        wanted = parse_launch(request)
        try:
            if wanted.resume:
                url = await self._sessions.resume(
                    client, wanted, asked.address, asked.local_address
                )
            else:
                app = self._catalog.by_number(wanted.app_id)
                if app is None:
                    raise SessionRefusedError(404, "There is no such app")
                url = await self._sessions.launch(
                    client, app, wanted, asked.address, asked.local_address
                )
        except SessionRefusedError as refused:
            body = build_launch_refusal(refused.status, refused.message, resume=wanted.resume)
            return Answer(body)
        return Answer(build_launch_answer(url, resume=wanted.resume))

    async def _cancel(self, _: Asked, __: Request, client: PairedClient) -> Answer:
        await self._sessions.cancel(client)
        return Answer(build_cancel_answer())


def read_art(path: Path) -> bytes:
    """A PNG of reasonable size. Blocks. Raises OSError."""
    with path.open("rb") as file:
        data = file.read(MAX_ART_BYTES + 1)
    if len(data) > MAX_ART_BYTES or not data.startswith(b"\x89PNG"):
        raise OSError("not a PNG of reasonable size")
    return data


def _not_found(request: Request) -> Answer:
    return Answer(build_answer(status=404, message="Not found", query=request.path), 404)
