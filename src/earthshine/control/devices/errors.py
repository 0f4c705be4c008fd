"""What runners are told when they are not let in. `problems` maps the base classes."""

from earthshine.control.errors import NotAllowedError, SignInRequiredError


class StaleChallengeError(SignInRequiredError):
    """The challenge is not ours, too old, or used: fetch another and sign that."""

    code = "stale-challenge"
    title = "Stale challenge"


class ProofRefusedError(SignInRequiredError):
    """The signature is not by the key of the device that is spoken for."""

    code = "proof-refused"
    title = "Proof refused"


class DeviceRefusedError(SignInRequiredError):
    """The token is not good (any more). An access token: use the refresh token."""

    code = "device-refused"
    title = "Token refused"


class DeviceRevokedError(NotAllowedError):
    """The device was revoked, for good. Only pairing again helps."""

    code = "device-revoked"
    title = "Revoked"
