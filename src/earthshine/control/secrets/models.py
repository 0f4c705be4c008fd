"""Secrets as the database keeps them: encrypted."""

from datetime import datetime

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from earthshine.control.db.base import Base, Moment


class SecretRow(Base):
    """One environment variable of a person's or a runner's agents."""

    __tablename__ = "secrets"

    owner_kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    """`person` or `runner`."""
    owner_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    key_id: Mapped[str] = mapped_column(String(16))
    """Of the key it is encrypted with."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    """Nonce, ciphertext, tag."""
    created_at: Mapped[datetime] = mapped_column(Moment)
    last_used_at: Mapped[datetime | None] = mapped_column(Moment)
