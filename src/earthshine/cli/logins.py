"""What `earthshine login` keeps: a server, and a token for it in the keyring or a private file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import keyring
from keyring.errors import KeyringError

from earthshine.cli import configuration

SERVICE: Final = "earthshine"
Store = Literal["keyring", "file"]


@dataclass(frozen=True, slots=True)
class Login:
    """A server that we are let in to."""

    url: str
    token: str


def _file() -> Path:
    return configuration.config_file().parent / "login.json"


def load() -> Login | None:
    """The login that is kept, if it can be read."""
    try:
        kept = json.loads(_file().read_text())
        url = str(kept["url"])
        token = kept["token"] if kept["store"] == "file" else keyring.get_password(SERVICE, url)
    except (OSError, ValueError, KeyError, TypeError, KeyringError):
        return None
    return Login(url, token) if isinstance(token, str) and token else None


def save(login: Login) -> Store:
    """Keep it in place of any other; where."""
    forget()
    store: Store = "keyring" if _in_keyring(login) else "file"
    kept = {"url": login.url, "store": store}
    if store == "file":
        kept["token"] = login.token
    path = _file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(json.dumps(kept) + "\n")
    temporary.replace(path)
    return store


def forget() -> None:
    """Keep nothing."""
    try:
        url = json.loads(_file().read_text())["url"]
        keyring.delete_password(SERVICE, url)
    except (OSError, ValueError, KeyError, TypeError, KeyringError):
        pass  # there is none, or not in the keyring
    _file().unlink(missing_ok=True)


def _in_keyring(login: Login) -> bool:
    """Whether the machine has a keyring that keeps things, and it did."""
    try:
        keyring.set_password(SERVICE, login.url, login.token)
        return keyring.get_password(SERVICE, login.url) == login.token
    except KeyringError:
        return False
