"""Announcing a host by mDNS, on loopback, and finding it with another mDNS stack."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import pytest

from earthshine.net.moonlight import discovery
from earthshine.net.moonlight.discovery import SERVICE, DiscoveryError, announced

needs_zeroconf = pytest.mark.skipif(
    importlib.util.find_spec("zeroconf") is None,
    reason=f"zeroconf is not installed: {discovery.INSTALL}",
)
SECONDS = 5.0


async def find(name: str) -> Any:
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

    zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"])
    try:
        info = AsyncServiceInfo(SERVICE, f"{name}.{SERVICE}")
        return info if await info.async_request(zeroconf.zeroconf, SECONDS * 1000) else None
    finally:
        await zeroconf.async_close()


@needs_zeroconf
async def test_an_announced_host_is_found_by_name_with_its_port() -> None:
    async with announced("Work. B\u00fcro", 47989, "127.0.0.1"):
        found = await find("Work  B\u00fcro")
        assert found is not None
        assert found.port == 47989
        assert found.parsed_addresses() == ["127.0.0.1"]


@needs_zeroconf
async def test_a_second_host_of_that_name_is_told_apart() -> None:
    async with announced("Twin", 47989, "127.0.0.1"), announced("Twin", 48089, "127.0.0.1"):
        assert (await find("Twin")).port == 47989
        assert (await find("Twin-2")).port == 48089


@needs_zeroconf
def test_a_host_for_everybody_names_its_addresses() -> None:
    found = discovery._addresses("0.0.0.0")
    assert found
    assert all(":" not in address for address in found)


async def test_without_the_package_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    with pytest.raises(DiscoveryError, match=r"pip install 'earthshine\[discovery\]'"):
        async with announced("Host", 47989, "127.0.0.1"):
            pass


@needs_zeroconf
async def test_what_is_no_address_is_not_announced() -> None:
    with pytest.raises(DiscoveryError, match="no address"):
        async with announced("Host", 47989, "somewhere"):
            pass


@pytest.mark.parametrize(
    ("name", "label"),
    [("a" * 80, "a" * 63), ("\u00e9" * 40, "\u00e9" * 31), ("..", "Earthshine"), ("x\ny", "x y")],
)
def test_names_become_labels(name: str, label: str) -> None:
    assert discovery._label(name) == label
    assert len(discovery._host_label(name).encode()) <= 63
