"""One-time passwords for one desktop. Times are seconds on any one clock."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from earthshine.protocols.rfb import vnc_response
from earthshine.runner.desktops.vncpassword import new_password

MAX_OFFERS: Final = 64
"""Passwords of one desktop that wait to be used."""
REMEMBER_SECONDS: Final = 600.0
"""How long one that is no good any more is known by name, to say what was wrong with it."""
MAX_REMEMBERED: Final = 1024


class Wrong(Enum):
    """Why a password was not taken."""

    UNKNOWN = "it is none of this desktop's"
    USED = "it has been used"
    EXPIRED = "it has expired"
    WITHDRAWN = "it was withdrawn"


class WrongPasswordError(Exception):
    """The client stays outside; `offer_id` where the password was good once."""

    def __init__(self, why: Wrong, offer_id: str = "") -> None:
        super().__init__(why.value)
        self.why = why
        self.offer_id = offer_id


class TooManyOffersError(Exception):
    """`MAX_OFFERS` passwords wait to be used."""


@dataclass(slots=True)
class Offer:
    """One password, for one connection."""

    offer_id: str
    password: str = field(repr=False)
    view_only: bool
    expires: float
    spent: Wrong | None = None
    """Why it is no good any more."""


class Offers:
    """Those of one desktop."""

    def __init__(self) -> None:
        self._offers: dict[str, Offer] = {}

    def issue(self, *, view_only: bool, seconds: float, now: float) -> Offer:
        """A new one. Raises TooManyOffersError."""
        self._forget(now)
        if self.waiting(now) >= MAX_OFFERS:
            raise TooManyOffersError
        offer = Offer(secrets.token_hex(8), new_password(), view_only, now + seconds)
        self._offers[offer.offer_id] = offer
        return offer

    def get(self, offer_id: str) -> Offer | None:
        """One that is remembered."""
        return self._offers.get(offer_id)

    def redeem(self, challenge: bytes, response: bytes, now: float) -> Offer:
        """The offer whose password answers the challenge, spent with this. WrongPasswordError."""
        found: Offer | None = None
        for offer in self._offers.values():  # all of them: how long it takes says nothing
            expected = vnc_response(offer.password.encode(), challenge)
            if hmac.compare_digest(expected, response):
                found = offer
        if found is None:
            raise WrongPasswordError(Wrong.UNKNOWN)
        if found.spent is None and found.expires <= now:
            found.spent = Wrong.EXPIRED
        if found.spent is not None:
            raise WrongPasswordError(found.spent, found.offer_id)
        found.spent = Wrong.USED
        return found

    def withdraw(self, offer_id: str) -> None:
        """Nobody may use it any more."""
        offer = self._offers.get(offer_id)
        if offer is not None and offer.spent is None:
            offer.spent = Wrong.WITHDRAWN

    def waiting(self, now: float) -> int:
        """How many can still be used."""
        return sum(o.spent is None and o.expires > now for o in self._offers.values())

    def _forget(self, now: float) -> None:
        kept = [o for o in self._offers.values() if o.expires + REMEMBER_SECONDS > now]
        good = [o for o in kept if o.spent is None and o.expires > now]
        spent = [o for o in kept if o.spent is not None or o.expires <= now]
        self._offers = {o.offer_id: o for o in (*spent[-MAX_REMEMBERED:], *good)}
