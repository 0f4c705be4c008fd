"""What is recorded, and the little that those who record need to know about how."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from earthshine.control.access import Actor

Detail = str | int | bool | list[str] | None
"""What a detail may be."""


class AuditKind(StrEnum):
    """Events of the audit log, in the past tense. A new one needs words in the UI as well."""

    # People
    SET_UP = "set-up"
    """The first admin was made."""
    SIGNED_IN = "signed-in"
    """details: `method`."""
    SIGN_IN_REFUSED = "sign-in-refused"
    SIGNED_OUT = "signed-out"
    SIGN_IN_ENDED = "sign-in-ended"
    """By somebody else, or from another browser."""
    SIGN_IN_LINK_MADE = "sign-in-link-made"
    PERSON_ADDED = "person-added"
    PERSON_REMOVED = "person-removed"
    PERSON_DISABLED = "person-disabled"
    PERSON_ENABLED = "person-enabled"
    ROLE_CHANGED = "role-changed"
    PASSWORD_CHANGED = "password-changed"
    PASSKEY_ADDED = "passkey-added"
    PASSKEY_REMOVED = "passkey-removed"
    SECOND_FACTOR_CHANGED = "second-factor-changed"
    """details: `required`."""
    PROVIDER_LINKED = "provider-linked"
    """An account at the sign-in provider became a way in."""
    PROVIDER_UNLINKED = "provider-unlinked"
    RENAMED = "renamed"
    """By themselves: details `was`, `now`."""
    TOKEN_MADE = "token-made"
    TOKEN_ENDED = "token-ended"
    DEVICE_APPROVED = "device-approved"
    """A command line was let in by the device flow."""
    # Runners
    PAIRING_STARTED = "pairing-started"
    PAIRING_PRESENTED = "pairing-presented"
    PAIRING_REFUSED = "pairing-refused"
    PAIRING_CONFIRMED = "pairing-confirmed"
    RUNNER_PAIRED = "runner-paired"
    RUNNER_SHARED = "runner-shared"
    RUNNER_REVOKED = "runner-revoked"
    RUNNER_REFUSED = "runner-refused"
    TOKEN_REUSED = "token-reused"
    """A refresh token came a second time: its family was revoked."""
    # Sessions
    SESSION_STARTED = "session-started"
    SESSION_DELETED = "session-deleted"
    PROMPTED = "prompted"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"
    TYPED = "typed"
    """A stretch of typing: details `from`, `until`, `bytes`."""
    APPROVED = "approved"
    PREVIEW_OPENED = "preview-opened"
    PREVIEW_CLOSED = "preview-closed"
    DESKTOP_CONTROLLED = "desktop-controlled"
    RDP_OFFERED = "rdp-offered"
    """Somebody got an RDP login: details `of` (desktop, machine), `view-only`."""
    GUACAMOLE_OFFERED = "guacamole-offered"
    """Somebody got a connection in the Guacamole web application: details `view-only`."""
    RECORDING_STARTED = "recording-started"
    RECORDING_ENDED = "recording-ended"
    RECORDING_DELETED = "recording-deleted"
    """details: `recording`, `from` (ms since 1970)."""
    FILE_UPLOADED = "file-uploaded"
    """details: `name`, `size` in bytes; likewise below."""
    FILE_DOWNLOADED = "file-downloaded"
    SESSION_SHARED = "session-shared"
    SHARE_CHANGED = "share-changed"
    SHARE_ENDED = "share-ended"
    LINK_MADE = "link-made"
    LINK_FOLLOWED = "link-followed"
    LINK_ENDED = "link-ended"
    # Secrets
    SECRET_STORED = "secret-stored"
    SECRET_REMOVED = "secret-removed"
    SECRET_USED = "secret-used"


class Trail(Protocol):
    """Where services record. The address is that of the current request (`origin`)."""

    async def record(
        self,
        kind: AuditKind,
        actor: Actor | None = None,
        *,
        subject: str = "",
        session_id: str | None = None,
        runner_id: str | None = None,
        details: Mapping[str, Detail] | None = None,
    ) -> None:
        """Append a record; on return it is durable. `subject`: what or whom it was done to.

        Details never hold a secret: no code, token, password or key, not even in part.
        """
        ...


class NoTrail:
    """Records nothing: for tests of what is not about the audit log."""

    async def record(
        self,
        kind: AuditKind,
        actor: Actor | None = None,
        *,
        subject: str = "",
        session_id: str | None = None,
        runner_id: str | None = None,
        details: Mapping[str, Detail] | None = None,
    ) -> None:
        """See `Trail`."""
