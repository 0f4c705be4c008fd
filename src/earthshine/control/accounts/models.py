"""People, and all that lets them in. Of secrets only hashes are kept."""

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from earthshine.control.accounts import names
from earthshine.control.db.base import Base, Big, Moment


def _name_key(context: Any) -> str:
    return names.key(context.get_current_parameters()["name"])


class Person(Base):
    """Somebody who can sign in, or once could."""

    __tablename__ = "people"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    name_key: Mapped[str] = mapped_column(String(255), unique=True, default=_name_key)
    """`names.key` of the name; of somebody removed, something that is no name's key."""
    role: Mapped[str] = mapped_column(String(16))
    """An `access.Role`."""
    created_at: Mapped[datetime] = mapped_column(Moment)
    last_seen_at: Mapped[datetime | None] = mapped_column(Moment)
    disabled: Mapped[bool] = mapped_column(Boolean, default=False)
    expires_at: Mapped[datetime | None] = mapped_column(Moment)
    """For guests."""
    removed_at: Mapped[datetime | None] = mapped_column(Moment)
    """The row stays for what still refers to it: sessions, the audit log."""
    password_hash: Mapped[str | None] = mapped_column(String(255))
    """Argon2id, in PHC string format."""
    second_factor: Mapped[bool] = mapped_column(Boolean, default=False)
    """A passkey must follow the password."""


class SignInCodeRow(Base):
    """A one-time code, to be traded for a sign-in."""

    __tablename__ = "sign_in_codes"

    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"))
    expires_at: Mapped[datetime] = mapped_column(Moment)


class SignInRow(Base):
    """A browser that is signed in, or a token of a program."""

    __tablename__ = "sign_ins"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    """`browser`, `token` or `device`."""
    name: Mapped[str] = mapped_column(String(64), default="")
    scopes: Mapped[str] = mapped_column(String(100))
    """`access.Scope`s, with spaces between them."""
    address: Mapped[str] = mapped_column(String(64), default="")
    """Last used from."""
    user_agent: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime] = mapped_column(Moment)
    last_seen_at: Mapped[datetime] = mapped_column(Moment)
    expires_at: Mapped[datetime] = mapped_column(Moment)


class PasskeyRow(Base):
    """A public key that somebody can sign in with (WebAuthn)."""

    __tablename__ = "passkeys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    credential_id: Mapped[str] = mapped_column(String(1400), unique=True)
    """As the authenticator calls it, base64url."""
    person_id: Mapped[str] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    """COSE."""
    sign_count: Mapped[int] = mapped_column(Big)
    created_at: Mapped[datetime] = mapped_column(Moment)
    last_used_at: Mapped[datetime | None] = mapped_column(Moment)


class OidcIdentityRow(Base):
    """Somebody's account at an OpenID provider. The provider's id for it never changes hands."""

    __tablename__ = "oidc_identities"

    issuer: Mapped[str] = mapped_column(String(255), primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(Moment)
