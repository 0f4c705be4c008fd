"""Pairings and refresh tokens. Of codes and tokens only hashes are kept."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from earthshine.control.db.base import Base, Moment


class PairingRow(Base):
    """A code that was given out, and what became of it."""

    __tablename__ = "pairings"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    code_hash: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of 55 random bits: of use to nobody once the code has expired."""
    state: Mapped[str] = mapped_column(String(16))
    """A `pairing.State`."""
    shared: Mapped[bool]
    detail: Mapped[str | None] = mapped_column(String(200))
    """Why it was refused, for the person."""
    created_at: Mapped[datetime] = mapped_column(Moment)
    expires_at: Mapped[datetime] = mapped_column(Moment)
    device_key: Mapped[str | None] = mapped_column(String(43))
    name: Mapped[str | None] = mapped_column(String(64))
    hostname: Mapped[str | None] = mapped_column(String(128))
    platform: Mapped[str | None] = mapped_column(String(128))
    address: Mapped[str | None] = mapped_column(String(64))
    runner_id: Mapped[str | None] = mapped_column(String(64))


class RefreshFamily(Base):
    """A runner's refresh tokens: each replaces the one before, all go when one comes twice."""

    __tablename__ = "refresh_families"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    runner_id: Mapped[str] = mapped_column(
        ForeignKey("runners.id", ondelete="CASCADE"), unique=True
    )
    generation: Mapped[int]
    token_hash: Mapped[str] = mapped_column(String(64))
    previous_hash: Mapped[str | None] = mapped_column(String(64))
    taken: Mapped[bool]
    """Whether the runner has shown that the newest generation reached it."""
    retries: Mapped[int]
    """How often the generation before was accepted again."""
    created_at: Mapped[datetime] = mapped_column(Moment)
    rotated_at: Mapped[datetime] = mapped_column(Moment)
    expires_at: Mapped[datetime] = mapped_column(Moment)
