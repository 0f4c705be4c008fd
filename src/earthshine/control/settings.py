"""The control plane's settings: table `[control]` of the configuration file, `EARTHSHINE_*`."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from platformdirs import user_state_path
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ControlSettings(BaseSettings):
    """What the control plane needs to know."""

    model_config = SettingsConfigDict(env_prefix="EARTHSHINE_", extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=7180, ge=0, le=65535)
    """Where to listen; 0 takes a free port."""
    preview_mode: Literal["auto", "host", "port", "off"] = "auto"
    """`host`: one port, a host name for each preview. `port`: a port for each preview, for servers
    without wildcard DNS. `auto`: by host name on a loopback address, else by port."""
    preview_port: int = Field(default=7181, ge=0, le=65535)
    """Mode host: where previews are served, apart from this server's own origin; 0: a free one."""
    preview_domain: str = "preview.localhost"
    """Mode host: previews are ID.DOMAIN. Browsers take *.localhost for this machine."""
    preview_public_port: int | None = Field(default=None, ge=1, le=65535)
    """Mode host, behind a proxy: the port in the browser's address."""
    preview_ports: tuple[int, int] = (7200, 7299)
    """Mode port: first and last port to use; (0, 0) takes free ones."""
    public_url: str = ""
    """How browsers reach this server, when that differs from host and port: a proxy, a name."""
    allow_plain_http: bool = False
    """Listen on a network without TLS. Everything, key strokes included, can then be read there."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    state_dir: Path = Field(default_factory=lambda: user_state_path("earthshine") / "control")
    database_url: SecretStr | None = None
    """SQLAlchemy URL; SQLite in the state folder when not set."""
    runner_token: SecretStr | None = None
    runner_token_file: Path | None = None
    """The static token that runners present. Made in the state folder when neither is set."""
    secrets_key: SecretStr | None = None
    secrets_key_file: Path | None = None
    """Encrypts agents' secrets at rest: 32 bytes, base64 or hexadecimal. Made in the state folder,
    beside the database, when neither is set."""
    shutdown_grace: float = Field(default=5.0, ge=0, le=300)
    """Seconds that open requests have when the server stops."""

    @model_validator(mode="after")
    def safe_to_listen(self) -> ControlSettings:
        """A listener on a network needs a name that is checked, and TLS in it or in front of it."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if is_loopback(self.host):
            return self
        if not self.public_url:
            raise ValueError(
                f"listening on {self.host} needs public_url (EARTHSHINE_PUBLIC_URL), the address "
                "that browsers and runners use: requests for any other Host are refused"
            )
        if self.tls_certificate is None and not self.allow_plain_http:
            raise ValueError(
                f"listening on {self.host} without TLS would send sign-ins and key strokes in the "
                "clear: set tls_certificate and tls_key, or put a TLS proxy on this machine in "
                "front and listen on 127.0.0.1, or set allow_plain_http if the network is yours"
            )
        return self

    @property
    def database(self) -> str:
        """The SQLAlchemy URL."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite+aiosqlite:///{self.state_dir / 'earthshine.db'}"

    @property
    def has_tls(self) -> bool:
        """Whether this server itself speaks TLS."""
        return self.tls_certificate is not None


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> str:
    """Scheme, host and port of a URL as a browser writes them in `Origin`."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"
