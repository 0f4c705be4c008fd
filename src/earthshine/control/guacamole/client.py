"""The REST API of the Guacamole web application (1.6), used with an administrator's account.

The account and its token stay in this process: the token travels in a header, is asked for when
needed and again when the server has forgotten it, and is in no log.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, NoReturn, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from earthshine.control.errors import (
    GuacamoleUnavailableError,
    InvalidRequestError,
    NotFoundError,
)

TOKEN_HEADER: Final = "Guacamole-Token"  # noqa: S105
REQUEST_SECONDS: Final = 10.0
MAX_ANSWER_BYTES: Final = 4 << 20
MAX_CONNECTIONS: Final = 8
"""To the web application, at once."""
MAX_MESSAGE: Final = 200
"""Characters of the web application's own words that are shown."""
ROOT: Final = "ROOT"


@dataclass(frozen=True, slots=True)
class Account:
    """Who the control plane is for the web application."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ConnectionSpec:
    """A connection as the web application keeps it; `parameters` are guacd's, secrets included."""

    name: str
    protocol: str
    parameters: Mapping[str, str] = field(repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict)
    parent: str = ROOT


class ActiveConnection(msgspec.Struct, frozen=True, rename="camel"):
    """Somebody who is connected now. `start_date` is in milliseconds since 1970."""

    identifier: str
    connection_identifier: str | None = None
    username: str | None = None
    remote_host: str | None = None
    start_date: int | None = None


class _Token(msgspec.Struct, rename="camel"):
    auth_token: str
    data_source: str


class _Connection(msgspec.Struct):
    name: str


class _Created(msgspec.Struct):
    identifier: str


class _Problem(msgspec.Struct):
    message: str | None = None
    type: str | None = None


Answer = TypeVar("Answer")


class GuacamoleClient:
    """Keeps connections in a Guacamole web application.

    `url` is the application's root, such as `https://desks.example/guacamole`. Use it as a context
    manager: leaving signs out. Every method raises DomainError: GuacamoleUnavailableError for
    everything that the operator has to mend, NotFoundError and InvalidRequestError for the rest.
    """

    def __init__(
        self,
        url: str,
        account: Account,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._account = account
        self._transport = transport or httpx.AsyncHTTPTransport(
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS)
        )
        self._http = httpx.AsyncClient(
            base_url=url.rstrip("/") + "/",
            transport=self._transport,
            timeout=REQUEST_SECONDS,
            follow_redirects=False,
        )
        self._token: _Token | None = None
        self._signing_in = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Sign out, best effort, and close the connections."""
        token, self._token = self._token, None
        try:
            if token is not None:
                await self._sign_out(token)
        finally:
            await self._http.aclose()

    # --- Connections ------------------------------------------------------------------------------

    async def create(self, spec: ConnectionSpec) -> str:
        """A new connection's identifier."""
        created: _Created = await self._ask("POST", "connections", _Created, body=_body(spec))
        return created.identifier

    async def update(self, identifier: str, spec: ConnectionSpec) -> None:
        """Replace everything about a connection."""
        body = {**_body(spec), "identifier": identifier}
        await self._ask("PUT", _path("connections", identifier), None, body=body)

    async def delete(self, identifier: str) -> None:
        """NotFoundError if it does not exist any more."""
        await self._ask("DELETE", _path("connections", identifier), None)

    async def names(self) -> dict[str, str]:
        """Every connection that the account may see: identifier and name."""
        kind = dict[str, _Connection]
        found: dict[str, _Connection] = await self._ask("GET", "connections", kind)
        return {identifier: one.name for identifier, one in found.items()}

    async def admit(self, username: str, identifier: str) -> None:
        """Let a user of the web application open a connection; NotFoundError if there is none."""
        change = {"op": "add", "path": f"/connectionPermissions/{identifier}", "value": "READ"}
        await self._ask("PATCH", _path("users", username) + "/permissions", None, body=[change])

    async def data_source(self) -> str:
        """Where connections are kept: a part of their address."""
        return (await self._signed_in(None)).data_source

    async def active(self) -> list[ActiveConnection]:
        """Everybody who is connected through the web application now."""
        kind = dict[str, ActiveConnection]
        found: dict[str, ActiveConnection] = await self._ask("GET", "activeConnections", kind)
        return list(found.values())

    async def end(self, identifier: str) -> None:
        """Disconnect one of the active connections."""
        body = [{"op": "remove", "path": "/" + identifier}]
        await self._ask("PATCH", "activeConnections", None, body=body)

    # --- Requests ---------------------------------------------------------------------------------

    async def _ask(
        self, method: str, path: str, answer: type[Answer] | None, *, body: Any = None
    ) -> Any:
        """One request about our data source; a token that has expired is renewed once."""
        token = await self._signed_in(None)
        status, content = await self._request(method, path, token, body)
        if status == httpx.codes.FORBIDDEN:
            token = await self._signed_in(token)
            status, content = await self._request(method, path, token, body)
        if not httpx.codes.is_success(status):
            _raise(status, content)
        return None if answer is None else _read(content, answer)

    async def _request(self, method: str, path: str, token: _Token, body: Any) -> tuple[int, bytes]:
        return await self._send(
            self._http.build_request(
                method,
                f"api/session/data/{quote(token.data_source, safe='')}/{path}",
                headers={TOKEN_HEADER: token.auth_token},
                json=body,
            )
        )

    async def _signed_in(self, stale: _Token | None) -> _Token:
        """A token; a fresh one if ours is still the stale one. Only one request fetches it."""
        async with self._signing_in:
            if self._token is None or self._token is stale:
                self._token = None
                form = {"username": self._account.username, "password": self._account.password}
                request = self._http.build_request("POST", "api/tokens", data=form)
                status, content = await self._send(request)
                if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
                    raise GuacamoleUnavailableError(
                        "The Guacamole server refused the account that is set for it.",
                        remedy="Check Guacamole's user name and password in the settings.",
                    )
                if not httpx.codes.is_success(status):
                    _raise(status, content)
                self._token = _read(content, _Token)
            return self._token

    async def _sign_out(self, token: _Token) -> None:
        # The token is in this URL. Sent through the client, httpx would log it.
        path = f"api/tokens/{quote(token.auth_token, safe='')}"
        request = self._http.build_request("DELETE", path)
        with contextlib.suppress(httpx.TransportError, TimeoutError):
            async with asyncio.timeout(REQUEST_SECONDS):
                response = await self._transport.handle_async_request(request)
                await response.aclose()

    async def _send(self, request: httpx.Request) -> tuple[int, bytes]:
        content = bytearray()
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                response = await self._http.send(request, stream=True)
                try:
                    async for piece in response.aiter_bytes():
                        content += piece
                        if len(content) > MAX_ANSWER_BYTES:
                            raise GuacamoleUnavailableError(
                                "The Guacamole server's answer is too long."
                            )
                finally:
                    await response.aclose()
        except TimeoutError:
            raise _unreachable("did not answer in time") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _unreachable("could not be reached") from error
        return response.status_code, bytes(content)


def _path(kind: str, identifier: str) -> str:
    if not identifier or identifier in {".", ".."}:
        raise NotFoundError("There is no such connection.")
    return f"{kind}/{quote(identifier, safe='')}"


def _body(spec: ConnectionSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "parentIdentifier": spec.parent,
        "protocol": spec.protocol,
        "parameters": dict(spec.parameters),
        "attributes": dict(spec.attributes),
    }


def _read(content: bytes, answer: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(content, type=answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise GuacamoleUnavailableError(
            "What answers there is not the Guacamole server.",
            remedy="Check Guacamole's address in the settings, its path included.",
        ) from None


def _raise(status: int, content: bytes) -> NoReturn:
    try:
        problem = msgspec.json.decode(content, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = _Problem()
    words = "".join(sign for sign in problem.message or "" if sign.isprintable())[:MAX_MESSAGE]
    if problem.type == "NOT_FOUND":
        raise NotFoundError(f"Guacamole does not have this. {words}".strip())
    if problem.type == "BAD_REQUEST":
        raise InvalidRequestError(f"Guacamole did not accept this. {words}".strip())
    if problem.type == "PERMISSION_DENIED":
        raise GuacamoleUnavailableError(
            "The account that is set for the Guacamole server may not do this.",
            remedy="Let that account create connections and see active ones, in Guacamole.",
        )
    said = f" It said: {words}" if words else ""
    raise GuacamoleUnavailableError(
        f"The Guacamole server answered with status {status}.{said}",
        remedy="Check Guacamole's address in the settings, and its log.",
    )


def _unreachable(how: str) -> GuacamoleUnavailableError:
    return GuacamoleUnavailableError(
        f"The Guacamole server {how}.",
        remedy="Check that it runs, and its address in the settings.",
    )
