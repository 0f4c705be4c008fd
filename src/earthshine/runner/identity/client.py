"""What a runner asks the control plane over HTTP: pairing, and session tokens."""

from __future__ import annotations

import contextlib
import ssl
from typing import Any, Final

import httpx

from earthshine import __version__

TIMEOUT: Final = 20.0
MAX_ANSWER: Final = 64 * 1024
MAX_CHALLENGES: Final = 3
"""Attempts under a fresh challenge, where the one at hand had become stale."""


class RefusedError(Exception):
    """The control plane says no; `code` is for programs, the text for people."""

    def __init__(self, code: str, detail: str, status: int, retry_after: float | None) -> None:
        super().__init__(detail)
        self.code = code
        self.status = status
        self.retry_after = retry_after


class UnreachableError(OSError):
    """There was no answer, or none that makes sense."""


class ControlPlaneClient:
    """`challenge` always holds the freshest one that came with an answer."""

    def __init__(self, url: str, tls: ssl.SSLContext | None) -> None:
        self._client = httpx.AsyncClient(
            base_url=url.rstrip("/") + "/api/clients",
            verify=tls if tls is not None else True,
            timeout=TIMEOUT,
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": f"earthshine/{__version__}"},
        )
        self._challenge: str | None = None

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def challenge(self) -> str:
        """A fresh challenge, good for one signature. Raises as `call` does."""
        challenge, self._challenge = self._challenge, None
        return challenge or str((await self.call("/challenge", {}))["challenge"])

    async def signed(self, path: str, sign: Any) -> dict[str, Any]:
        """Call with the body that `sign(challenge)` makes, again if the challenge was stale."""
        for attempt in range(MAX_CHALLENGES):
            try:
                return await self.call(path, sign(await self.challenge()))
            except RefusedError as error:
                if error.code != "stale-challenge" or attempt + 1 == MAX_CHALLENGES:
                    raise
        raise AssertionError("unreachable")

    async def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer's JSON. Raises RefusedError, UnreachableError."""
        try:
            async with self._client.stream("POST", path, json=body) as response:
                data = b""
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > MAX_ANSWER:
                        raise UnreachableError("its answer is too long")
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise UnreachableError(_words(error)) from error
        answer: Any = {}
        with contextlib.suppress(ValueError):
            answer = httpx.Response(200, content=data).json() if data else {}
        if not isinstance(answer, dict):
            answer = {}
        if response.is_success:
            fresh = answer.get("challenge")
            if isinstance(fresh, str) and path != "/challenge":
                self._challenge = fresh
            return dict(answer)
        raise _refusal(response, answer)


def _refusal(response: httpx.Response, answer: dict[str, Any]) -> Exception:
    status = response.status_code
    code, detail = answer.get("code"), answer.get("detail")
    if not isinstance(code, str) or not isinstance(detail, str):
        return UnreachableError(f"it answered {status}: is this the address of an Earthshine?")
    if status >= 500:
        return UnreachableError(detail)
    remedy = answer.get("remedy")
    words = f"{detail} {remedy}" if isinstance(remedy, str) else detail
    wait = response.headers.get("retry-after", "")
    return RefusedError(code, words, status, float(wait) if wait.isdigit() else None)


def _words(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return cause.strerror or str(cause)
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
