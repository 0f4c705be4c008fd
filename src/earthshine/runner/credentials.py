"""How this runner says who it is: with what pairing left, or with the static token."""

from __future__ import annotations

import contextlib
import ssl
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from earthshine.runner.identity.client import ControlPlaneClient
from earthshine.runner.identity.record import BadRecordError
from earthshine.runner.identity.session import DeviceSession
from earthshine.runner.identity.store import IdentityStore
from earthshine.runner.settings import RunnerSettings
from earthshine.runner.trust import TrustError, connection_context

PAIR_AGAIN: Final = (
    "Its agents, if any, go on. To let it in again run `earthshine runner unpair`, then "
    "`earthshine runner pair URL CODE` with a new code."
)


class RunnerConfigurationError(Exception):
    """The runner cannot start as it is configured; the message says what to do."""


class RunnerNotTakenError(RunnerConfigurationError):
    """The control plane does not take this runner any more."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How this runner says who it is."""

    runner_id: str
    url: str
    name: str
    """What this machine calls itself; its host name when empty."""
    tls: ssl.SSLContext | None
    token: str = ""
    device: DeviceSession | None = None
    client: ControlPlaneClient | None = None

    def dial_back(self) -> str:
        """The Authorization header of data connections."""
        if self.device is not None:
            return self.device.authorization()
        return f"Bearer {self.runner_id}.{self.token}"


def runner_id(state: Path) -> str:
    """This runner's id, made at its first start."""
    path = state / "runner-id"
    with contextlib.suppress(FileNotFoundError):
        known = path.read_text().strip()
        if known:
            return known
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = uuid.uuid4().hex
    path.write_text(fresh + "\n")
    return fresh


def read_token(settings: RunnerSettings) -> str:
    """The static runner token. Raises RunnerConfigurationError."""
    if settings.token is not None:
        return settings.token.get_secret_value()
    if settings.token_file is None:
        raise RunnerConfigurationError(
            "this machine is not paired: run `earthshine runner pair URL CODE` with a code from "
            "the Runners page or `earthshine pair new` (or set EARTHSHINE_RUNNER_TOKEN_FILE to a "
            "file with the control plane's static token)"
        )
    try:
        mode = settings.token_file.stat().st_mode
        token = settings.token_file.read_text().strip()
    except OSError as error:
        raise RunnerConfigurationError(
            f"the token file {settings.token_file} cannot be read: {error.strerror}"
        ) from None
    if mode & 0o077:
        raise RunnerConfigurationError(
            f"others can read the token file: run `chmod 600 {settings.token_file}`"
        )
    if not token:
        raise RunnerConfigurationError(f"the token file {settings.token_file} is empty")
    return token


def identity_store(settings: RunnerSettings) -> IdentityStore:
    """Where this runner's identity is, once it is paired."""
    return IdentityStore(settings.state_dir, settings.data_dir)


def credentials(settings: RunnerSettings) -> Credentials:
    """The static token if one is given, else what pairing left. Raises RunnerConfigurationError."""
    try:
        if settings.token is None and settings.token_file is None:
            paired = _paired(settings, identity_store(settings))
            if paired is not None:
                return paired
        token = read_token(settings)
        tls = connection_context(settings)
    except (TrustError, BadRecordError) as error:
        raise RunnerConfigurationError(str(error)) from None
    own_id = runner_id(settings.state_dir)
    return Credentials(own_id, settings.url, settings.name, tls, token)


def _paired(settings: RunnerSettings, store: IdentityStore) -> Credentials | None:
    note = store.note()
    if note is not None and note.ended is not None:
        raise RunnerNotTakenError(
            f"{note.url} does not take this runner: {note.ended} {PAIR_AGAIN}"
        )
    identity = store.load()
    if identity is None:
        return None
    trust = {
        "url": identity.url,
        "pin": identity.pin or settings.pin,
        "ca_file": Path(identity.ca_file) if identity.ca_file else settings.ca_file,
        "allow_plain_http": identity.allow_plain_http or settings.allow_plain_http,
    }
    tls = connection_context(settings.model_copy(update=trust))
    client = ControlPlaneClient(identity.url, tls)
    device = DeviceSession(identity, store, client)
    name = settings.name or identity.name
    return Credentials(identity.runner_id, identity.url, name, tls, device=device, client=client)
