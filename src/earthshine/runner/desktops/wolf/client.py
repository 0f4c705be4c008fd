"""The client of Wolf's API, for Wolf itself and for our own host alike.

Wolf answers with HTTP/1.0, closes after each answer, and cannot read chunked requests; ids are
64-bit numbers written as strings.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlencode

import httpx
from pydantic import ValidationError

from earthshine.runner.desktops.wolf import schemas

TIMEOUT_SECONDS: Final = 30.0
EVENT_SILENCE_SECONDS: Final = 45.0
"""Three missed keep-alives: the line is dead."""
MAX_ANSWER_BYTES: Final = 8 << 20
MAX_EVENT_BYTES: Final = 1 << 20
PENDING: Final = ("/pair/pending", "/pending-pair-requests")
PAIR: Final = ("/pair/client", "/pair-client")
"""Routes that had another name in late 2024."""

ModelT = TypeVar("ModelT", bound=schemas.Model)


class WolfError(Exception):
    """Wolf refused, could not be reached, or said what cannot be read. ``status`` 0: no answer."""

    def __init__(self, words: str, status: int = 0, *, said: bool = True) -> None:
        super().__init__(words)
        self.status = status
        self.said = said
        """Whether the words are Wolf's: where it has no such route, it says nothing."""


@dataclass(frozen=True, slots=True)
class WolfEvent:
    """``name`` without the namespaces that some versions put in front."""

    name: str
    data: dict[str, Any]


class WolfClient:
    """An async context manager. All methods raise WolfError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(path)),
            base_url="http://wolf",
            timeout=TIMEOUT_SECONDS,
            # Wolf closes after each answer; kept connections would only fail at their next use.
            headers={"Connection": "close"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._http.aclose()

    async def pending_pairs(self) -> list[schemas.PendingPair]:
        """Clients that wait for their PIN."""
        found = await self._older(PENDING, lambda path: self._get(path, schemas.Pending))
        return found.requests

    async def pair(self, pair_secret: str, pin: str) -> None:
        """Type the PIN."""
        body = {"pair_secret": pair_secret, "pin": pin}
        await self._older(PAIR, lambda path: self._post(path, body))

    async def unpair(self, client_id: str) -> None:
        """Forget a client."""
        await self._post("/unpair/client", {"client_id": client_id})

    async def clients(self) -> list[schemas.PairedClientView]:
        """Who is paired."""
        return (await self._get("/clients", schemas.Clients)).clients

    async def change_client(self, wanted: schemas.ClientSettingsRequest) -> None:
        """Change what is not None of a client's folder and settings."""
        await self._post("/clients/settings", wanted.model_dump(exclude_none=True))

    async def apps(self) -> list[schemas.App]:
        """What can be started."""
        return (await self._get("/apps", schemas.Apps)).apps

    async def add_app(self, app: schemas.App) -> None:
        """Add one."""
        await self._post("/apps/add", app.model_dump(exclude_none=True))

    async def delete_app(self, identifier: str) -> None:
        """Remove one."""
        await self._post("/apps/delete", {"id": identifier})

    async def profiles(self) -> list[schemas.Profile]:
        """Groups of apps; the one that Moonlight clients see is not among them."""
        return (await self._get("/profiles", schemas.Profiles)).profiles

    async def add_profile(self, profile: schemas.Profile) -> None:
        """Add or replace one."""
        await self._post("/profiles/add", profile.model_dump(exclude_none=True))

    async def remove_profile(self, identifier: str) -> None:
        """Remove one."""
        await self._post("/profiles/remove", {"id": identifier})

    async def icon(self, path: str) -> bytes:
        """The PNG that an app, profile or lobby names."""
        query = urlencode({"icon_path": path})
        found = (await self._get(f"/utils/get-icon?{query}", schemas.Icon)).icon_base64
        try:
            return base64.b64decode(found, validate=True)
        except binascii.Error:
            raise WolfError("the icon is no base64") from None

    async def sessions(self) -> list[schemas.StreamSession]:
        """All of them."""
        return (await self._get("/sessions", schemas.Sessions)).sessions

    async def add_session(self, session: schemas.StreamSession) -> str:
        """Start an app before its client comes; the session's id."""
        body = session.model_dump(exclude_none=True)
        return (await self._post("/sessions/add", body, schemas.SessionAdded)).session_id

    async def start_session(self, wanted: schemas.SessionStartRequest) -> None:
        """Stream to a client that comes without RTSP."""
        await self._post("/sessions/start", wanted.model_dump(exclude_none=True))

    async def pause_session(self, session_id: str) -> None:
        """Send the client away."""
        await self._post("/sessions/pause", {"session_id": session_id})

    async def stop_session(self, session_id: str) -> None:
        """End it."""
        await self._post("/sessions/stop", {"session_id": session_id})

    async def session_input(self, session_id: str, packet: bytes) -> None:
        """One input packet, as `protocols.moonlight.input` writes it."""
        body = {"session_id": session_id, "input_packet_hex": packet.hex()}
        await self._post("/sessions/input", body)

    async def start_runner(
        self, session_id: str, command: str, *, stop_stream_when_over: bool = False
    ) -> None:
        """One more program in a session."""
        body = {
            "session_id": session_id,
            "stop_stream_when_over": stop_stream_when_over,
            "runner": {"type": "process", "run_cmd": command},
        }
        await self._post("/runners/start", body)

    async def lobbies(self) -> list[schemas.LobbyView]:
        """All of them."""
        return (await self._get("/lobbies", schemas.Lobbies)).lobbies

    async def create_lobby(self, wanted: schemas.LobbyCreateRequest) -> str:
        """Start its display; its id."""
        body = wanted.model_dump(exclude_none=True)
        return (await self._post("/lobbies/create", body, schemas.LobbyCreated)).lobby_id

    async def join_lobby(
        self, lobby_id: str, session_id: str, pin: tuple[int, ...] | None = None
    ) -> None:
        """A session joins."""
        body: dict[str, Any] = {"lobby_id": lobby_id, "moonlight_session_id": session_id}
        await self._post("/lobbies/join", body | ({"pin": list(pin)} if pin else {}))

    async def leave_lobby(self, lobby_id: str, session_id: str) -> None:
        """A session leaves."""
        body = {"lobby_id": lobby_id, "moonlight_session_id": session_id}
        await self._post("/lobbies/leave", body)

    async def stop_lobby(self, lobby_id: str, pin: tuple[int, ...] | None = None) -> None:
        """It ends."""
        body: dict[str, Any] = {"lobby_id": lobby_id}
        await self._post("/lobbies/stop", body | ({"pin": list(pin)} if pin else {}))

    async def openapi(self) -> dict[str, Any]:
        """What the other side can do."""
        found = await self._exchange("GET", "/openapi-schema", None)
        if not isinstance(found, dict):
            raise WolfError("the OpenAPI document is no object")
        return found

    async def events(self) -> AsyncIterator[WolfEvent]:
        """What happens from now on; ends with WolfError when the line breaks."""
        timeout = httpx.Timeout(TIMEOUT_SECONDS, read=EVENT_SILENCE_SECONDS)
        name, data, size = "", [], 0
        try:
            async with self._http.stream("GET", "/api/v1/events", timeout=timeout) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise WolfError("no events", answer.status_code)
                async for line in _lines(answer):
                    size += len(line)
                    if size > MAX_EVENT_BYTES:
                        raise WolfError("an event is too large")
                    if line.startswith("event:"):
                        name = line[6:].strip()
                    elif line.startswith("data:"):
                        data.append(line[5:].strip())
                    elif not line:
                        if name and data:
                            yield _event(name, "\n".join(data))
                        name, data, size = "", [], 0
        except httpx.HTTPError as error:
            raise WolfError(f"the line to {self._path} broke: {error}") from None
        raise WolfError("the other side ended the events")

    async def _older(
        self, names: tuple[str, str], exchange: Callable[[str], Awaitable[ModelT]]
    ) -> ModelT:
        """Try today's name of a route; where there is none, the one it had in 2024."""
        try:
            return await exchange(names[0])
        except WolfError as error:
            if error.status != httpx.codes.NOT_FOUND or error.said:
                raise
        return await exchange(names[1])

    async def _get(self, path: str, kind: type[ModelT]) -> ModelT:
        return _read(await self._exchange("GET", path, None), kind)

    async def _post(
        self,
        path: str,
        body: dict[str, Any],
        kind: type[ModelT] = schemas.Success,  # type: ignore[assignment]
    ) -> ModelT:
        return _read(await self._exchange("POST", path, body), kind)

    async def _exchange(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        # `content` has a known length, so the request is never chunked.
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        received = bytearray()
        try:
            async with self._http.stream(
                method, f"/api/v1{path}", content=content, headers=headers
            ) as answer:
                async for piece in answer.aiter_bytes():
                    received += piece
                    if len(received) > MAX_ANSWER_BYTES:
                        raise WolfError("the answer is too large", answer.status_code)
        except httpx.HTTPError as error:
            raise WolfError(
                f"nobody answers on {self._path}: {str(error) or type(error).__name__}"
            ) from None
        try:
            found = json.loads(received)
        except ValueError:
            raise WolfError("the answer is not JSON", answer.status_code, said=False) from None
        failed = isinstance(found, dict) and found.get("success") is False
        if failed or not answer.is_success:
            words = found.get("error") if isinstance(found, dict) else None
            raise WolfError(
                str(words or f"HTTP status {answer.status_code}"),
                answer.status_code,
                said=bool(words),
            )
        return found


async def _lines(answer: httpx.Response) -> AsyncIterator[str]:
    """Lines of at most `MAX_EVENT_BYTES`; httpx's own reader has no limit."""
    rest = b""
    async for piece in answer.aiter_bytes():
        *whole, rest = (rest + piece).split(b"\n")
        if len(rest) > MAX_EVENT_BYTES:
            raise WolfError("an event is too large")
        for line in whole:
            yield line.rstrip(b"\r").decode(errors="replace")


def _event(name: str, data: str) -> WolfEvent:
    found: Any = None
    with contextlib.suppress(ValueError):
        found = json.loads(data)
    return WolfEvent(name.rpartition("::")[2], found if isinstance(found, dict) else {})


def _read(found: Any, kind: type[ModelT]) -> ModelT:
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        raise WolfError(f"the answer cannot be read: {error.errors()[0]['msg']}") from None
