"""The HTTP API from the command line: where the server is, who we are, errors in words."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
from dataclasses import dataclass
from typing import Any, NoReturn

import click
import httpx

from earthshine.cli import configuration, logins
from earthshine.control.settings import ControlSettings
from earthshine.net.pinning import BadPinError, client_context

EXIT_NOT_FOUND = 4
EXIT_NOT_ALLOWED = 5
EXIT_UNAVAILABLE = 6
_EXIT_CODES = {
    401: EXIT_NOT_ALLOWED,
    403: EXIT_NOT_ALLOWED,
    404: EXIT_NOT_FOUND,
    502: EXIT_UNAVAILABLE,
    503: EXIT_UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Access:
    """A server and a token for it."""

    url: str
    token: str
    pin: str | None = None
    """The server's key, where no authority vouches for it."""

    @property
    def headers(self) -> dict[str, str]:
        """What authenticates a request."""
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def tls(self) -> ssl.SSLContext | None:
        """How to connect; None over plain HTTP. Ends the command when the pin is none."""
        if not self.url.startswith("https:"):
            return None
        try:
            return client_context(self.pin)
        except BadPinError as error:
            fail(f"EARTHSHINE_PIN: {error}")


def access() -> Access:
    """From EARTHSHINE_URL, _TOKEN and _PIN, else from `earthshine login`, else from what the local
    server left."""
    url, token = os.environ.get("EARTHSHINE_URL"), os.environ.get("EARTHSHINE_TOKEN")
    if url and token:
        return Access(url.rstrip("/"), token, os.environ.get("EARTHSHINE_PIN"))
    kept = None if token else logins.load()
    if kept is not None and url in (None, "", kept.url, kept.url + "/"):
        return Access(kept.url, kept.token, os.environ.get("EARTHSHINE_PIN"))
    path = configuration.load(ControlSettings, "control", {}).state_dir / "cli.json"
    try:
        known = json.loads(path.read_text())
        pin = os.environ.get("EARTHSHINE_PIN") if url else known.get("pin")
        return Access(url or known["url"], token or known["token"], pin)
    except (OSError, ValueError, KeyError):
        fail(
            "no server is known: start one with `earthshine up`, sign in to one with "
            "`earthshine login`, or set EARTHSHINE_URL and EARTHSHINE_TOKEN",
            EXIT_UNAVAILABLE,
        )


class CommandFailed(click.ClickException):
    """Ends the command with words and an exit code that means something."""

    def __init__(self, words: str, code: int) -> None:
        super().__init__(words)
        self._code = code

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """See the constants above."""
        return self._code


def fail(words: str, code: int = 1) -> NoReturn:
    """End the command with words."""
    raise CommandFailed(words, code)


class Api:
    """Requests under `/api/v1`. Problems end the command with what failed and what to do."""

    def __init__(self, to: Access | None = None) -> None:
        self.access = to or access()
        self._client = httpx.Client(
            base_url=self.access.url + "/api/v1",
            headers=self.access.headers,
            timeout=60,
            verify=self.access.tls or True,
        )

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The answer's JSON, None for an empty one."""
        params = {key: value for key, value in query.items() if value is not None}
        try:
            response = self._client.request(method, path, json=body, params=params)
        except httpx.TransportError as error:
            fail(f"{self.access.url} does not answer: {error}", EXIT_UNAVAILABLE)
        if response.is_success:
            return response.json() if response.content else None
        problem: dict[str, Any] = {}
        with contextlib.suppress(ValueError):
            problem = response.json()
        fail(words(problem, response.status_code), _EXIT_CODES.get(response.status_code, 1))


def words(problem: dict[str, Any], status: int) -> str:
    """A problem as one line."""
    detail = problem.get("detail") or f"the server answered {status}"
    remedy = problem.get("remedy")
    return f"{detail} {remedy}" if remedy else str(detail)
