"""Serving the single-page UI: hashed assets for ever, the page itself never cached."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from earthshine.control.problems import plain_problem

DIST: Final = Path(__file__).parent / "dist"
PAGES: Final = (
    "/",
    "/sessions/{rest:path}",
    "/runners",
    "/people",
    "/audit",
    "/account",
    "/settings",
    "/device",
)
"""Paths that the UI itself routes."""
MISSING: Final = """<!doctype html><title>Earthshine</title><p>The web UI is not built.
Run <code>make ui</code> in the source folder, then reload."""


def policy(form_targets: str) -> str:
    """The Content-Security-Policy; `form_targets` is where previews are opened."""
    return (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
        "media-src 'self'; "
        f"worker-src 'self'; form-action 'self' {form_targets}; frame-ancestors 'none'; "
        "base-uri 'none'"
    )


def routes(form_targets: str) -> list[BaseRoute]:
    """Routes of the UI."""
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": policy(form_targets),
    }

    # Plain functions, which run in a thread: they look at files.
    def page(_: Request, status: int = 200) -> Response:
        index = DIST / "index.html"
        if not index.is_file():
            return HTMLResponse(MISSING, status_code=503)
        return FileResponse(index, status, headers=headers)

    def nowhere(request: Request) -> Response:
        """The UI has words for people who went astray; programs get a problem."""
        wants_page = "text/html" in request.headers.get("accept", "")
        if request.url.path.startswith("/api/") or not wants_page:
            return plain_problem(404, "There is nothing at this address.", "not-found")
        return page(request, 404)

    def root_file(request: Request) -> Response:
        name: str = request.path_params["name"]
        with contextlib.suppress(OSError):  # a name that is too long
            if "/" not in name and (DIST / name).is_file():
                return FileResponse(DIST / name, headers={"Cache-Control": "no-cache"})
        return nowhere(request)

    found: list[BaseRoute] = [Route(path, page, include_in_schema=False) for path in PAGES]
    assets = DIST / "assets"
    found.append(
        Mount("/assets", ForEver(StaticFiles(directory=assets, check_dir=False)), name="assets")
    )
    found.append(Route("/{name}", root_file, include_in_schema=False))
    found.append(Route("/{rest:path}", nowhere, include_in_schema=False))
    return found


class ForEver:
    """Lets browsers keep files whose names change with their content."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the header to successful answers."""

        async def with_header(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                headers = [*message["headers"]]
                headers.append((b"cache-control", b"public, max-age=31536000, immutable"))
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, with_header)
