"""Addresses as text: what is shown, and what shares a limit."""

import pytest

from earthshine.protocols.moonlight.addresses import neighbourhood, plain
from earthshine.protocols.moonlight.pairing_host import ClientName


@pytest.mark.parametrize(
    ("address", "shown", "budget"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0:1::5", "2001:db8:0:1::5", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff::1", "2001:db8:0:1:ffff::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::1", "fe80::/64"),
        ("", "", ""),
        ("nonsense", "nonsense", "nonsense"),
    ],
)
def test_addresses(address, shown, budget):
    assert plain(address) == shown
    assert neighbourhood(address) == budget


def test_a_subscriber_with_many_ipv6_addresses_has_one_budget():
    first, second = ClientName("2001:db8::1", "x"), ClientName("2001:db8::2", "x")
    assert first != second
    assert first.neighbourhood == second.neighbourhood
