"""Network addresses as text, as far as a host looks at them: for limits and for display only."""

from __future__ import annotations

import ipaddress
from typing import Final

NETWORK_BITS: Final = 64
"""Of an IPv6 address: what one subscriber gets whole (RFC 6177), so limits count it as one."""


def plain(address: str) -> str:
    """Without a zone, and as IPv4 where that is what it stands for (RFC 4291 section 2.5.5.2)."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def neighbourhood(address: str) -> str:
    """What shares one budget: an IPv4 address, or the network of an IPv6 address."""
    try:
        found = ipaddress.ip_address(plain(address))
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found.packed, NETWORK_BITS), strict=False))
