"""``/applist``: what can be started, and ``/appasset``: its picture."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from earthshine.protocols.moonlight.answers import (
    AnswerError,
    Element,
    build_answer,
    parse_answer,
)
from earthshine.protocols.moonlight.serverinfo import MAX_APP_ID

if TYPE_CHECKING:
    from collections.abc import Iterable

    from earthshine.protocols.moonlight.query import Request

PATH = "/applist"
ASSET_PATH = "/appasset"
BOX_ART = 2
"""AssetType of the only asset clients ask for: a PNG, usually 600 by 800 pixels."""

MAX_APPS = 1024
MAX_TITLE = 256


@dataclass(frozen=True, slots=True)
class App:
    """One entry. ``id`` is 1 to 2^31 - 1 and should never change for the same application."""

    id: int
    title: str
    hdr: bool = False


def stable_app_id(name: str) -> int:
    """An id derived from a stable name: CRC-32 of its UTF-8, without sign, never 0."""
    return zlib.crc32(name.encode()) & MAX_APP_ID or 1


def build_app_list(apps: Iterable[App]) -> bytes:
    """The XML answer, entries in the given order."""
    return build_answer([_element(app) for app in apps])


def parse_app_list(body: bytes) -> list[App]:
    """Read the answer to ``/applist``. Raises `AnswerError` or `AnswerRefusedError`."""
    apps: list[App] = []
    for element in parse_answer(body).all("App"):
        if len(apps) == MAX_APPS:
            raise AnswerError(f"more than {MAX_APPS} applications")
        app_id = element.integer("ID", low=1, high=MAX_APP_ID)
        title = (element.get("AppTitle") or "")[:MAX_TITLE]
        apps.append(App(app_id, title, element.get("IsHdrSupported") == "1"))
    return apps


def parse_asset_request(request: Request) -> int:
    """The application whose box art is asked for. Raises `RequestError`."""
    return request.integer("appid", low=1, high=MAX_APP_ID)


def _element(app: App) -> Element:
    children = [
        Element("IsHdrSupported", text=str(int(app.hdr))),
        Element("AppTitle", text=app.title),
        Element("ID", text=str(app.id)),
    ]
    return Element("App", children=children)
