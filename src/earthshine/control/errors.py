"""Domain errors: what services raise. One place (`problems`) turns them into HTTP and close codes.

Each error says what failed (`detail`) and, where a person can do something about it, the `remedy`.
"""

from __future__ import annotations

from typing import ClassVar


class DomainError(Exception):
    """Base of everything a service may raise on purpose."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, detail: str, *, remedy: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy


class SignInRequiredError(DomainError):
    """Nobody is signed in, or the sign-in has ended."""

    code = "sign-in-required"
    title = "Sign-in required"


class NotAllowedError(DomainError):
    """The person is known and may see the thing, but not do this to it."""

    code = "not-allowed"
    title = "Not allowed"


class NotFoundError(DomainError):
    """The thing does not exist, or is somebody else's; the two look the same from outside."""

    code = "not-found"
    title = "Not found"


class InvalidRequestError(DomainError):
    """The request can be read but cannot be meant."""

    code = "invalid-request"
    title = "Invalid request"


class ConflictError(DomainError):
    """The thing is not in a state in which this can be done."""

    code = "conflict"
    title = "Conflict"


class GoneError(DomainError):
    """It was there once: an expired code, a used ticket, an ended session."""

    code = "gone"
    title = "Gone"


class TooManyError(DomainError):
    """A stated limit has been reached; where waiting helps, for how many seconds."""

    code = "too-many"
    title = "Too many"

    def __init__(
        self, detail: str, *, remedy: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(detail, remedy=remedy)
        self.retry_after = retry_after


class RunnerUnavailableError(DomainError):
    """The runner is not connected, or did not come back within its grace period."""

    code = "runner-unavailable"
    title = "Runner unavailable"


class AuditUnavailableError(DomainError):
    """It could not be recorded, so it was not done."""

    code = "audit-unavailable"
    title = "The audit log cannot be written"


class DialFailedError(DomainError):
    """A reverse dial failed; `stage` names where: wait, ask, dial-back, destination."""

    code = "dial-failed"
    title = "Could not reach the runner's port"

    def __init__(self, detail: str, *, stage: str, remedy: str | None = None) -> None:
        super().__init__(detail, remedy=remedy)
        self.stage = stage


class ProviderError(DomainError):
    """The sign-in provider cannot be reached, or what it says makes no sense."""

    code = "provider-failed"
    title = "The sign-in provider failed"


class GuacamoleUnavailableError(DomainError):
    """The Guacamole web application cannot be reached or used; its operator has to mend it."""

    code = "guacamole-unavailable"
    title = "Guacamole cannot be used"


class PartMissingError(DomainError):
    """A program that is needed for this is not installed, not set up or does not run."""

    code = "part-missing"
    title = "A part is missing"
