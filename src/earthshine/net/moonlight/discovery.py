"""Being found: a host says in the local network that it is there (RFC 6762 mDNS, RFC 6763 DNS-SD).

The work is the package zeroconf's, which is optional (`earthshine[discovery]`).
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVICE: Final = "_nvstream._tcp.local."
INSTALL: Final = "install the extra: pip install 'earthshine[discovery]'"
MAX_LABEL_BYTES: Final = 63
"""Of a DNS label (RFC 1035 section 2.3.4)."""
MAX_ADDRESSES: Final = 16
ANYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104  compared with, not bound

log = logging.getLogger(__name__)


class DiscoveryError(Exception):
    """The host cannot announce itself; the message says why."""


@contextlib.asynccontextmanager
async def announced(name: str, port: int, bind: str) -> AsyncIterator[None]:
    """Announce a host on its HTTP port while the body runs, then say goodbye.

    ``bind``: an address, or one of `ANYWHERE` for all interfaces. A name that is taken gets a
    number. Raises DiscoveryError.
    """
    try:
        from zeroconf import (  # noqa: PLC0415
            InterfaceChoice,
            NonUniqueNameException,
            ServiceInfo,
        )
        from zeroconf.asyncio import AsyncZeroconf  # noqa: PLC0415
    except ImportError:
        raise DiscoveryError(f"the package zeroconf is missing; {INSTALL}") from None
    addresses = _addresses(bind)
    if not addresses:
        raise DiscoveryError(f"{bind} is no address that can be announced")
    interfaces = InterfaceChoice.All if bind in ANYWHERE else addresses
    info = ServiceInfo(
        SERVICE,
        f"{_label(name)}.{SERVICE}",
        port=port,
        parsed_addresses=addresses,
        server=f"{_host_label(name)}.local.",
    )
    zeroconf: AsyncZeroconf | None = None
    try:
        zeroconf = AsyncZeroconf(interfaces=interfaces)
        await (await zeroconf.async_register_service(info, allow_name_change=True))
    except (OSError, NonUniqueNameException) as error:
        if zeroconf is not None:
            await zeroconf.async_close()
        raise DiscoveryError(f"the host cannot be announced: {error}") from None
    try:
        log.info("announced by mDNS", extra={"service": info.name})
        yield
    finally:
        with contextlib.suppress(OSError):
            await (await zeroconf.async_unregister_service(info))
        await zeroconf.async_close()


def _addresses(bind: str) -> list[str]:
    """What clients may connect to."""
    import ifaddr  # noqa: PLC0415  zeroconf's own

    if bind not in ANYWHERE:
        try:
            return [str(ipaddress.ip_address(bind))]
        except ValueError:
            return []
    found = [
        ipaddress.ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
    ]
    versions = (4,) if bind == ANYWHERE[0] else (4, 6)
    usable = [a for a in found if a.version in versions and not a.is_link_local]
    outside = [a for a in usable if not a.is_loopback]
    return [str(address) for address in dict.fromkeys(outside or usable)][:MAX_ADDRESSES]


def _label(name: str) -> str:
    """A service's instance name: any text but dots and controls, of at most 63 bytes."""
    clean = re.sub(r"[\x00-\x1f\x7f.]", " ", name).strip() or "Earthshine"
    return clean.encode()[:MAX_LABEL_BYTES].decode(errors="ignore")


def _host_label(name: str) -> str:
    """A host name: letters, digits and hyphens (RFC 952)."""
    clean = re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-") or "earthshine"
    return clean[:MAX_LABEL_BYTES]
