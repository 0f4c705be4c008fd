"""What `earthshine login` keeps: a server, and a token for it in the keyring or a private file."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

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


def _kept() -> dict[str, str]:
    """What the file says; nothing where it says nothing that makes sense."""
    try:
        kept = json.loads(_file().read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(kept, dict) or not all(isinstance(one, str) for one in kept.values()):
        return {}
    return kept


def load() -> Login | None:
    """The login that is kept, if it can be read."""
    kept = _kept()
    url, token = kept.get("url"), kept.get("token")
    if url and kept.get("store") == "keyring":
        import keyring  # slow to import, and most machines have none
        from keyring.errors import KeyringError

        with contextlib.suppress(KeyringError):
            token = keyring.get_password(SERVICE, url)
    return Login(url, token) if url and token else None


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
    kept = _kept()
    if kept.get("store") == "keyring" and kept.get("url"):
        import keyring
        from keyring.errors import KeyringError

        with contextlib.suppress(KeyringError):
            keyring.delete_password(SERVICE, kept["url"])
    _file().unlink(missing_ok=True)


def _in_keyring(login: Login) -> bool:
    """Whether the machine has a keyring that keeps things, and it did."""
    import keyring
    from keyring.errors import KeyringError

    try:
        keyring.set_password(SERVICE, login.url, login.token)
        return keyring.get_password(SERVICE, login.url) == login.token
    except KeyringError:
        return False
