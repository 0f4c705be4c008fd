"""Close codes of desktops' sockets, and reasons that keep the remedy."""

import pytest

from earthshine.control.desktops.closing import MAX_REASON, closing, reason
from earthshine.control.errors import (
    ConflictError,
    DialFailedError,
    InvalidRequestError,
    NotAllowedError,
    NotFoundError,
    PartMissingError,
    RunnerUnavailableError,
    SignInRequiredError,
    TooManyError,
)
from earthshine.control.runners.connection import CommandRefusedError
from earthshine.net.desktop_gateways import GatewayError, Part


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SignInRequiredError("x"), 4001),
        (NotAllowedError("x"), 4003),
        (NotFoundError("x"), 4004),
        (ConflictError("The session has ended."), 4004),
        (TooManyError("x"), 4008),
        (InvalidRequestError("x"), 4009),
        (RunnerUnavailableError("x"), 4011),
        (DialFailedError("x", stage="destination"), 4011),
        (PartMissingError("x"), 4013),
        (CommandRefusedError("no-desktop", "x", None), 4004),
        (CommandRefusedError("desktop-failed", "x", None), 4011),
        (CommandRefusedError("no-vnc", "x", None), 4013),
        (GatewayError(Part.BROWSER, "x"), 4009),
        (GatewayError(Part.VNC_SERVER, "x"), 4011),
        (GatewayError(Part.GUACD, "x"), 4011),
        (GatewayError(Part.GUACD, "no plugin", close=(1011, "514")), 4013),
    ],
)
def test_codes(error, code):
    assert closing(error)[0] == code


def test_the_remedy_is_kept_where_words_are_too_many():
    words = reason("ö" * 200, "Start it, or correct control.guacd.")
    assert words.endswith("ö Start it, or correct control.guacd.")
    assert MAX_REASON - 1 <= len(words.encode()) <= MAX_REASON


def test_a_remedy_that_leaves_no_room_gives_way():
    assert reason("What failed.", "r" * 110) == "What failed."
    assert len(reason("a" * 500, "r" * 500).encode()) == MAX_REASON
    assert reason("What failed.", None) == "What failed."
