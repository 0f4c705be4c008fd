"""How this runner knows its control plane. It does what that says, so this comes first.

- A pin names the server's key; then nothing else counts.
- Otherwise an authority vouches for the server's name: the system's, or those of `ca_file`.
- Without TLS anybody in between is the control plane: only on loopback, or where somebody wrote
  `allow_plain_http`.

What the control plane may then ask for is the matter of `earthshine.runner.policy`.
"""

from __future__ import annotations

import ipaddress
import ssl
from urllib.parse import urlsplit

from earthshine.net.pinning import BadPinError, client_context
from earthshine.runner.settings import RunnerSettings


class TrustError(Exception):
    """The control plane could not be known; the message says what to do."""


def connection_context(settings: RunnerSettings) -> ssl.SSLContext | None:
    """For every connection to the control plane; None over plain HTTP. Raises TrustError."""
    parts = urlsplit(settings.url)
    if parts.scheme in ("https", "wss"):
        try:
            return client_context(settings.pin, settings.ca_file)
        except BadPinError as error:
            raise TrustError(f"EARTHSHINE_RUNNER_PIN: {error}") from None
        except OSError as error:  # ssl.SSLError is one
            raise TrustError(
                f"EARTHSHINE_RUNNER_CA_FILE: {settings.ca_file} cannot be used: "
                f"{error.strerror or error}"
            ) from None
    if settings.pin:
        raise TrustError(
            f"a pin needs an https address, and the control plane's is {settings.url}: without TLS "
            "there is no key to look at"
        )
    if not settings.allow_plain_http and not _is_loopback(parts.hostname or ""):
        raise TrustError(
            f"{settings.url} is not protected by TLS: the token, all key strokes and all output "
            "could be read and changed on the way. Use an https address, or set "
            "EARTHSHINE_RUNNER_ALLOW_PLAIN_HTTP=true if the network is yours alone"
        )
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
