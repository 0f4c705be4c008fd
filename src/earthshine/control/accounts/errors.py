"""Errors of signing in."""

from __future__ import annotations

from typing import ClassVar

from earthshine.control.errors import (
    ConflictError,
    GoneError,
    NotAllowedError,
    TooManyError,
)


class WrongCredentialsError(NotAllowedError):
    """What was presented does not sign anybody in; why is not told."""

    code: ClassVar[str] = "wrong-credentials"
    title: ClassVar[str] = "Not signed in"


class AuthorizationPendingError(ConflictError):
    """Device flow: nobody has decided yet (RFC 8628, 3.5)."""

    code: ClassVar[str] = "authorization-pending"
    title: ClassVar[str] = "Nobody has decided yet"


class SlowDownError(TooManyError):
    """Device flow: asked again too soon; the interval has grown."""

    code: ClassVar[str] = "slow-down"
    title: ClassVar[str] = "Asked too often"


class AccessDeniedError(NotAllowedError):
    """Device flow: somebody said no."""

    code: ClassVar[str] = "access-denied"
    title: ClassVar[str] = "Refused"


class ExpiredTokenError(GoneError):
    """Device flow: nobody decided in time, or the token was collected already."""

    code: ClassVar[str] = "expired-token"
    title: ClassVar[str] = "Expired"
