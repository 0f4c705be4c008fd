"""Limits on guessing: per address, per account, per code, the same for every route to one check.

Each limit is a leaky bucket (GCRA): `burst` attempts at once, then one every `every` seconds. An
attempt is charged before it is made, so that a thousand at once gain nothing, and given back when
it succeeds: only failures cost.

Nobody can lock an owner out. What strangers spend on an account is not charged to addresses from
which its owner has signed in before, waits never grow beyond `every`, and the one-time links that
the server's own machine prints are not limited at all.

The counts are in memory, at most MAX_KEYS of each kind; the oldest are forgotten first.
"""

from __future__ import annotations

import contextlib
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from earthshine.control import metrics
from earthshine.control.errors import DomainError, TooManyError
from earthshine.control.origin import LOCAL, current_origin

MAX_KEYS: Final = 20_000
IPV6_PREFIX: Final = 64
"""Whoever has one IPv6 address has its whole network."""


@dataclass(frozen=True, slots=True)
class Limit:
    """`burst` attempts at once, then one each `every` seconds."""

    burst: int
    every: float


class Check(StrEnum):
    """What can be guessed or exhausted. Routes that reach the same check share its limits."""

    SIGN_IN = "sign-in"
    """Account: the name that was typed."""
    SIGN_IN_CODE = "sign-in-code"
    DEVICE_FLOW = "device-flow"
    """Code: the user code."""
    PAIRING = "pairing"
    """Code: the pairing code."""
    REFRESH = "refresh"
    """Account: the runner id."""
    SHARE_LINK = "share-link"
    CHALLENGE = "challenge"
    """Asking for something to sign, or for a device code: nothing to guess, but it is kept."""
    DIAL = "dial"
    """Account: the person or runner that dials; successes are charged too."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of one check."""

    address: Limit
    """All attempts from one address."""
    pair: Limit | None = None
    """Attempts from one address on one account."""
    account: Limit | None = None
    """Attempts on one account from all addresses that never succeeded with it."""
    code: Limit | None = None
    """Attempts on one code, from anywhere."""


RULES: Final[dict[Check, Rules]] = {
    Check.SIGN_IN: Rules(address=Limit(30, 4.0), pair=Limit(6, 15.0), account=Limit(20, 10.0)),
    Check.SIGN_IN_CODE: Rules(address=Limit(20, 5.0)),
    Check.DEVICE_FLOW: Rules(address=Limit(30, 4.0), code=Limit(6, 30.0)),
    Check.PAIRING: Rules(address=Limit(10, 10.0), code=Limit(5, 60.0)),
    Check.REFRESH: Rules(address=Limit(60, 2.0), pair=Limit(10, 10.0), account=Limit(20, 10.0)),
    Check.SHARE_LINK: Rules(address=Limit(20, 5.0)),
    Check.CHALLENGE: Rules(address=Limit(100, 0.5)),
    Check.DIAL: Rules(address=Limit(2000, 0.01), account=Limit(2000, 0.01)),
}


class Throttle:
    """Counts attempts."""

    def __init__(
        self,
        rules: dict[Check, Rules] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = RULES if rules is None else rules
        self._clock = clock
        self._full_until: OrderedDict[tuple[str, ...], float] = OrderedDict()
        """For each bucket, when it would be empty again."""
        self._known: OrderedDict[tuple[Check, str, str], None] = OrderedDict()
        """Addresses that have succeeded with an account."""

    @contextlib.contextmanager
    def attempt(self, check: Check, *, account: str = "", code: str = "") -> Iterator[None]:
        """Around the check itself. A DomainError out of the block is a failed attempt.

        Raises TooManyError, with the seconds to wait, before the block is entered.
        """
        charged = self._charge(check, account, code)
        try:
            yield
        except DomainError:
            raise  # paid for
        except BaseException:
            self._give_back(charged)
            raise
        else:
            self._give_back(charged)
            if account:
                self._remember(check, account)

    def spend(self, check: Check, *, account: str = "") -> None:
        """Charge an attempt for good. Raises TooManyError."""
        self._charge(check, account, "")

    def _charge(self, check: Check, account: str, code: str) -> list[tuple[tuple[str, ...], float]]:
        now = self._clock()
        charges: list[tuple[tuple[str, ...], float]] = []
        worst = 0.0
        for key, limit in self._buckets(check, account, code):
            full_until = max(self._full_until.get(key, 0.0), now)
            wait = full_until + limit.every - now - limit.burst * limit.every
            worst = max(worst, wait)
            charges.append((key, limit.every))
        if worst > 0:
            metrics.THROTTLED.labels(check.value).inc()
            raise TooManyError(
                "Too many attempts.",
                remedy=f"Wait {max(1, round(worst))} s and try again.",
                retry_after=worst,
            )
        for key, cost in charges:
            self._full_until[key] = max(self._full_until.get(key, 0.0), now) + cost
            self._full_until.move_to_end(key)
        while len(self._full_until) > MAX_KEYS:
            self._full_until.popitem(last=False)
        return charges

    def _give_back(self, charges: list[tuple[tuple[str, ...], float]]) -> None:
        for key, cost in charges:
            if key in self._full_until:
                self._full_until[key] -= cost

    def _buckets(
        self, check: Check, account: str, code: str
    ) -> Iterator[tuple[tuple[str, ...], Limit]]:
        rules = self._rules[check]
        address = network_of(current_origin().address)
        if address != LOCAL.address:
            yield (check, "address", address), rules.address
        if account and rules.pair is not None:
            yield (check, "pair", address, account), rules.pair
        if account and rules.account is not None and (check, account, address) not in self._known:
            yield (check, "account", account), rules.account
        if code and rules.code is not None:
            yield (check, "code", code), rules.code

    def _remember(self, check: Check, account: str) -> None:
        key = (check, account, network_of(current_origin().address))
        self._known[key] = None
        self._known.move_to_end(key)
        while len(self._known) > MAX_KEYS:
            self._known.popitem(last=False)


def network_of(address: str) -> str:
    """What is counted as one address: an IPv4 address, an IPv6 network."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
    return str(parsed)
