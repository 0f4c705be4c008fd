"""A fake of the Guacamole web application's REST API: its paths, bodies and errors, no desktops."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

DATA = "/guacamole/api/session/data/postgresql"


class FakeGuacamole:
    """One administrator. `requests` are (method, path) as they came."""

    def __init__(self, password: str) -> None:
        self.password = password
        self.tokens: set[str] = set()
        self.connections: dict[str, dict[str, Any]] = {}
        self.active: dict[str, dict[str, Any]] = {}
        self.users: dict[str, set[str]] = {"mia": set(), "otto": set()}
        """The connections that each may open."""
        self.requests: list[tuple[str, str]] = []
        self.may = True
        self.answer: Response | None = None
        """Instead of everything that follows."""
        self._serial = itertools.count(1)
        one = f"{DATA}/connections/{{identifier}}"
        routes = [
            Route("/guacamole/api/tokens", self._sign_in, methods=["POST"]),
            Route("/guacamole/api/tokens/{token}", self._sign_out, methods=["DELETE"]),
            Route(f"{DATA}/connections", self._names, methods=["GET"]),
            Route(f"{DATA}/connections", self._create, methods=["POST"]),
            Route(f"{DATA}/users/{{name}}/permissions", self._admit, methods=["PATCH"]),
            Route(one, self._change, methods=["PUT", "DELETE"]),
            Route(f"{DATA}/activeConnections", self._active, methods=["GET", "PATCH"]),
        ]
        self._routes = Starlette(routes=routes)
        self.raw_paths: list[bytes] = []

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        self.raw_paths.append(scope["raw_path"])
        await self._routes(scope, receive, send)

    async def _sign_in(self, request: Request) -> Response:
        self.requests.append(("POST", "tokens"))
        if self.answer is not None:
            return self.answer
        form = dict(parse_qsl((await request.body()).decode()))
        if (form.get("username"), form.get("password")) != ("earthshine", self.password):
            return problem(403, "INVALID_CREDENTIALS", "Permission Denied.")
        token = f"{next(self._serial):064X}"
        self.tokens.add(token)
        sources = {"dataSource": "postgresql", "availableDataSources": ["postgresql"]}
        return JSONResponse({"authToken": token, "username": "earthshine", **sources})

    async def _sign_out(self, request: Request) -> Response:
        self.tokens.remove(request.path_params["token"])
        self.requests.append(("DELETE", "token"))
        return Response(status_code=204)

    def _refusal(self, request: Request) -> Response | None:
        self.requests.append((request.method, request.url.path.removeprefix(DATA)))
        assert "token" not in request.query_params
        if request.headers.get("guacamole-token") not in self.tokens:
            return problem(403, "PERMISSION_DENIED", "Permission Denied.")
        if not self.may:
            return problem(403, "PERMISSION_DENIED", "Permission denied.")
        return self.answer

    async def _names(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        return JSONResponse(self.connections)

    async def _admit(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        name = request.path_params["name"]
        if name not in self.users:
            return problem(404, "NOT_FOUND", f'No such user: "{name}"')
        for change in await request.json():
            assert (change["op"], change["value"]) == ("add", "READ")
            self.users[name].add(change["path"].removeprefix("/connectionPermissions/"))
        return Response(status_code=204)

    async def _create(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        connection = await request.json()
        if any(one["name"] == connection["name"] for one in self.connections.values()):
            return problem(400, "BAD_REQUEST", "The connection already exists.")
        connection["identifier"] = str(next(self._serial))
        self.connections[connection["identifier"]] = connection
        return JSONResponse({**connection, "activeConnections": 0})

    async def _change(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        identifier = request.path_params["identifier"]
        if identifier not in self.connections:
            return problem(404, "NOT_FOUND", f'No such connection: "{identifier}"')
        if request.method == "DELETE":
            del self.connections[identifier]
        else:
            self.connections[identifier] = await request.json()
        return Response(status_code=204)

    async def _active(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        if request.method == "GET":
            return JSONResponse(self.active)
        for change in await request.json():
            assert change["op"] == "remove"
            self.active.pop(change["path"].removeprefix("/"), None)
        return Response(status_code=204)


def problem(status: int, kind: str, message: str) -> Response:
    words = {"message": message, "translatableMessage": {"key": "APP.X", "variables": None}}
    body = {**words, "statusCode": None, "expected": None, "type": kind}
    return JSONResponse(body, status_code=status)
