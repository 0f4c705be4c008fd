"""What can be started: an app is a command with a display of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from earthshine.protocols.moonlight.applist import MAX_APPS, MAX_TITLE, App, stable_app_id

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_ID_CHARACTERS: Final = 128
MAX_COMMAND: Final = 16384
MAX_ART_BYTES: Final = 4 << 20


class AppError(Exception):
    """The app cannot be added or does not exist."""


@dataclass(frozen=True, slots=True)
class HostApp:
    """``id`` is any stable text; clients see a number made of it. ``command`` None: an empty
    display."""

    id: str
    title: str
    command: str | None = None
    icon_path: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    desktop: str | None = None
    """Show the desktop of this session, which lives by itself."""
    parent_session: str | None = None
    """Show the display of that GameStream session."""

    @property
    def number(self) -> int:
        """The id clients see, 1 to 2^31 - 1: the text itself if it is such a number."""
        if self.id.isascii() and self.id.isdigit() and 1 <= int(self.id) < 1 << 31:
            return int(self.id)
        return stable_app_id(self.id)


class Catalog:
    """The apps of one host, in order."""

    def __init__(self, apps: Iterable[HostApp] = ()) -> None:
        self._apps: dict[str, HostApp] = {}
        for app in apps:
            self.add(app)

    @property
    def all(self) -> list[HostApp]:
        """In the order in which they were added."""
        return list(self._apps.values())

    def add(self, app: HostApp) -> None:
        """Add, or replace the app of the same id. Raises AppError."""
        if not 1 <= len(app.id) <= MAX_ID_CHARACTERS or not 1 <= len(app.title) <= MAX_TITLE:
            raise AppError("an app needs an id and a title of reasonable length")
        if app.command is not None and not 1 <= len(app.command) <= MAX_COMMAND:
            raise AppError("the app's command is empty or too long")
        if len(self._apps) >= MAX_APPS and app.id not in self._apps:
            raise AppError(f"there are {MAX_APPS} apps already")
        same = self.by_number(app.number)
        if same is not None and same.id != app.id:
            raise AppError(f"the ids {app.id} and {same.id} look the same to clients")
        self._apps[app.id] = app

    def remove(self, identifier: str) -> None:
        """Raises AppError. What was started from it goes on."""
        if self._apps.pop(identifier, None) is None:
            raise AppError(f"there is no app {identifier}")

    def by_id(self, identifier: str) -> HostApp | None:
        """The app of that id."""
        return self._apps.get(identifier)

    def by_number(self, number: int) -> HostApp | None:
        """The app that clients know by that number."""
        return next((app for app in self._apps.values() if app.number == number), None)

    def listing(self) -> list[App]:
        """As ``/applist`` says it."""
        return [App(app.number, app.title) for app in self._apps.values()]
