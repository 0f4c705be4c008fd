"""Runners as the database remembers them."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String, false, true
from sqlalchemy.orm import Mapped, mapped_column

from earthshine.control.db.base import Base, Moment


class RunnerRow(Base):
    """A machine that was paired, or has connected with the static token."""

    __tablename__ = "runners"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    hostname: Mapped[str] = mapped_column(String(255))
    platform: Mapped[str] = mapped_column(String(255))
    version: Mapped[str] = mapped_column(String(64))
    home: Mapped[str] = mapped_column(String(4096))
    agents: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    first_seen: Mapped[datetime] = mapped_column(Moment)
    last_seen: Mapped[datetime] = mapped_column(Moment)
    owner_id: Mapped[str | None] = mapped_column(String(32), index=True)
    """The person who paired it. No foreign key: a paired runner must not become everybody's, nor
    vanish with its sessions, when a person is removed."""
    shared: Mapped[bool] = mapped_column(server_default=true())
    is_device: Mapped[bool] = mapped_column(server_default=false())
    """Whether it was paired; else it comes by the static token."""
    device_key: Mapped[str | None] = mapped_column(String(43))
    """Its public key, base64url."""
    given_name: Mapped[str | None] = mapped_column(String(64))
    """What people call it, where that is not what it calls itself."""
    address: Mapped[str | None] = mapped_column(String(64))
    paired_at: Mapped[datetime | None] = mapped_column(Moment)
    revoked_at: Mapped[datetime | None] = mapped_column(Moment)
    revoked_reason: Mapped[str | None] = mapped_column(String(200))
    removed_at: Mapped[datetime | None] = mapped_column(Moment)
    """Taken off the list; its row stays for its sessions' sake."""
