"""The control plane's settings: table `[control]` of the configuration file, `EARTHSHINE_*`."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from platformdirs import user_state_path
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _listed(value: object) -> object:
    return [one.strip() for one in value.split(",")] if isinstance(value, str) else value


Listed = Annotated[tuple[str, ...], BeforeValidator(_listed), NoDecode]
"""In a variable, with commas between."""


class OidcSettings(BaseModel):
    """An OpenID provider that people can sign in with: `[control.oidc]`, `EARTHSHINE_OIDC__*`.

    It must send browsers back to PUBLIC_URL/api/v1/sign-in/oidc/callback.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str
    client_id: str = Field(min_length=1)
    client_secret: SecretStr | None = None
    """None for a public client: PKCE protects the exchange either way."""
    name: str = Field(default="single sign-on", min_length=1, max_length=64)
    """What the button says."""
    scope: str = "openid profile"
    role_claim: str = ""
    """The claim that decides roles at each sign-in; `a.b` looks into objects. Empty: nobody's role
    changes, and new people are members."""
    admin_values: Listed = ()
    member_values: Listed = ()
    """Empty: everybody whom the provider lets in is a member."""
    allow_new: bool | None = None
    """Whether people who are not known here may come in. When not set: if the role claim and the
    values for members say who."""

    @property
    def takes_new(self) -> bool:
        """See `allow_new`."""
        if self.allow_new is None:
            return bool(self.role_claim and self.member_values)
        return self.allow_new

    @field_validator("issuer")
    @classmethod
    def safe_issuer(cls, issuer: str) -> str:
        """TLS is what proves the provider's keys to be its own."""
        parts = urlsplit(issuer)
        local = parts.scheme == "http" and is_loopback(parts.hostname or "")
        if not (parts.scheme == "https" or local) or not parts.hostname:
            raise ValueError("must be an https address")
        return issuer

    @field_validator("scope")
    @classmethod
    def openid_scope(cls, scope: str) -> str:
        """Without it there is no ID token."""
        return scope if "openid" in scope.split() else f"openid {scope}"


class DesktopSettings(BaseModel):
    """How programs outside browsers reach desktops: `[control.desktop]`, `EARTHSHINE_DESKTOP__*`.

    They connect to ports of this server, each open for one connection and a short time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    entry_host: str = "127.0.0.1"
    """Where those ports listen."""
    entry_address: str = ""
    """What clients are told to connect to, where that is not `entry_host`: a name, say."""
    entry_ports: tuple[int, int] = (15900, 16899)
    """First and last; (0, 0) takes free ones."""

    @field_validator("entry_ports")
    @classmethod
    def a_range(cls, ports: tuple[int, int]) -> tuple[int, int]:
        """First and last port."""
        if not 0 <= ports[0] <= ports[1] <= 65535 or (ports[0] == 0 and ports[1] != 0):
            raise ValueError("must be the first and the last port of a range, or 0 and 0")
        return ports

    @model_validator(mode="after")
    def an_address(self) -> DesktopSettings:
        """Nobody can connect to every address."""
        if self.entry_host in ("0.0.0.0", "::", "") and not self.entry_address:  # noqa: S104
            raise ValueError("listening on every address needs entry_address, which clients use")
        return self


class GuacdSettings(BaseModel):
    """A guacd that shows desktops: `[control.guacd]`, `EARTHSHINE_GUACD__*`.

    It is given passwords in the clear: on this machine, or on a network of its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=4822, ge=1, le=65535)
    ssh_port: int = Field(default=22, ge=1, le=65535)
    """Where runners' own SSH servers listen, on their loopback address."""


class GuacamoleSettings(BaseModel):
    """A Guacamole web application: `[control.guacamole]`, `EARTHSHINE_GUACAMOLE__*`.

    The account needs to create connections and to grant them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    username: str = Field(min_length=1)
    password: SecretStr

    @field_validator("url")
    @classmethod
    def safe_url(cls, url: str) -> str:
        """The account's password goes there."""
        parts = urlsplit(url)
        local = parts.scheme == "http" and is_loopback(parts.hostname or "")
        if not (parts.scheme == "https" or local) or not parts.hostname:
            raise ValueError("must be an https address")
        return url


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_PROXIES = 64
_WAYS_TO_TLS = (
    "Set tls_certificate and tls_key, or tls_self_made (runners pin its key), or put a TLS proxy "
    "on this machine in front and listen on 127.0.0.1."
)


class ControlSettings(BaseSettings):
    """What the control plane needs to know."""

    model_config = SettingsConfigDict(
        env_prefix="EARTHSHINE_", env_nested_delimiter="__", extra="forbid"
    )

    mode: Literal["development", "production"] = "development"
    """In production nothing but loopback is served without TLS, whatever else is set."""
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
    """In development: listen on a network without TLS. Everything can then be read there."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    """PEM files. Changed files are taken up without a restart."""
    tls_self_made: bool = False
    """Speak TLS with a certificate made in the state folder; runners pin its key."""
    trusted_proxies: Annotated[list[Network], NoDecode] = Field(
        default_factory=list, max_length=MAX_PROXIES
    )
    """Networks of reverse proxies: only they may say who a request is from."""
    proxy_headers: Literal["x-forwarded", "forwarded"] = "x-forwarded"
    """How they say it: X-Forwarded-For and -Proto, or Forwarded (RFC 7239). The others are ignored:
    a proxy passes on, as the client sent them, the headers that it does not write."""
    state_dir: Path = Field(default_factory=lambda: user_state_path("earthshine") / "control")
    database_url: SecretStr | None = None
    """SQLAlchemy URL; SQLite in the state folder when not set."""
    runner_token: SecretStr | None = None
    runner_token_file: Path | None = None
    """The static token that runners present. Made in the state folder when neither is set."""
    oidc: OidcSettings | None = None
    desktop: DesktopSettings = DesktopSettings()
    guacd: GuacdSettings | None = None
    """None: no Guacamole through this server."""
    guacamole: GuacamoleSettings | None = None
    """None: there is no Guacamole web application beside this server."""
    runner_token_enabled: bool = True
    """Whether the static token lets runners in; else only paired ones are. `earthshine up` needs it
    for its own runner and leaves it on."""
    secrets_key: SecretStr | None = None
    secrets_key_file: Path | None = None
    """Encrypts agents' secrets at rest: 32 bytes, base64 or hexadecimal. Made in the state folder,
    beside the database, when neither is set."""
    recordings_dir: Path | None = None
    """Where recordings of desktops are kept; `recordings` in the state folder when not set."""
    recordings_limit: int = Field(default=50 * 1024**3, ge=64 * 1024**2)
    """Bytes that they may take; then the oldest are deleted."""
    recordings_days: int = Field(default=90, ge=1, le=36_500)
    """After so many days they are deleted."""
    shutdown_grace: float = Field(default=5.0, ge=0, le=300)
    """Seconds that open requests have when the server stops."""

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def separated_by_commas(cls, value: Any) -> Any:
        """JSON or a comma between them, in an environment variable."""
        if isinstance(value, str):
            text = value.strip()
            if text.startswith("["):
                return json.loads(text)
            return [part.strip() for part in text.split(",") if part.strip()]
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def not_everybody(cls, value: list[Network]) -> list[Network]:
        """The whole internet is no proxy."""
        if any(network.prefixlen == 0 for network in value):
            raise ValueError(
                "that would let anybody say that they are somebody else: list the addresses of "
                "your proxies"
            )
        return value

    @model_validator(mode="after")
    def tls_is_clear(self) -> ControlSettings:
        """One certificate, and an address that fits to it."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if self.tls_certificate is not None and self.tls_self_made:
            raise ValueError("choose either tls_certificate and tls_key, or tls_self_made")
        if self.has_tls and self.public_url.startswith("http:"):
            raise ValueError(
                f"this server speaks TLS, but public_url is {self.public_url}: begin it with https:"
            )
        return self

    @model_validator(mode="after")
    def safe_to_listen(self) -> ControlSettings:
        """A listener on a network needs a name that is checked, and TLS in it or in front of it."""
        public = urlsplit(self.public_url)
        if self.public_url and (public.scheme not in ("http", "https") or not public.hostname):
            raise ValueError(f"public_url {self.public_url} is not an http or https address")
        if (
            self.mode == "production"
            and public.scheme == "http"
            and not is_loopback(public.hostname or "")
        ):
            raise ValueError(
                f"in production public_url must begin with https:, and it is {self.public_url}: "
                "sign-ins and key strokes would cross the network in the clear. " + _WAYS_TO_TLS
            )
        if is_loopback(self.host):
            return self
        if not self.public_url:
            raise ValueError(
                f"listening on {self.host} needs public_url (EARTHSHINE_PUBLIC_URL), the address "
                "that browsers and runners use: requests for any other Host are refused"
            )
        if self.has_tls:
            return self
        if self.mode == "production":
            raise ValueError(
                f"in production Earthshine does not listen on {self.host} without TLS"
                + (
                    ", and allow_plain_http does not change that. "
                    if self.allow_plain_http
                    else ". "
                )
                + _WAYS_TO_TLS
            )
        if not self.allow_plain_http:
            raise ValueError(
                f"listening on {self.host} without TLS would send sign-ins and key strokes in the "
                f"clear. {_WAYS_TO_TLS} If the network is yours alone: allow_plain_http"
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
        return self.tls_certificate is not None or self.tls_self_made


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
