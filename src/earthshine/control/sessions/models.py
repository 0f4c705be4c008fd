"""Sessions and their event logs."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, SmallInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from earthshine.control.db.base import Base, Big, Moment


class SessionRow(Base):
    """One agent at work, or its memory."""

    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_created_at_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("people.id"), index=True)
    runner_id: Mapped[str] = mapped_column(ForeignKey("runners.id"), index=True)
    command_id: Mapped[str | None] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(200))
    agent: Mapped[str] = mapped_column(String(32))
    command: Mapped[list[str]] = mapped_column(JSON)
    prompt: Mapped[str] = mapped_column(Text)
    folder: Mapped[str] = mapped_column(Text)
    worktree: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    desktop: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    exit_code: Mapped[int | None]
    signal: Mapped[int | None]
    cols: Mapped[int]
    rows: Mapped[int]
    last_seq: Mapped[int] = mapped_column(Big)
    """The last entry stored."""
    log_bytes: Mapped[int] = mapped_column(Big)
    """Bytes of terminal output in all entries up to `last_seq`, gaps included."""
    created_at: Mapped[datetime] = mapped_column(Moment)
    started_at: Mapped[datetime | None] = mapped_column(Moment)
    ended_at: Mapped[datetime | None] = mapped_column(Moment)
    last_output_at: Mapped[datetime | None] = mapped_column(Moment)


class EventRow(Base):
    """One entry of a session's log."""

    __tablename__ = "events"
    __table_args__ = (Index("uq_events_session_id_seq", "session_id", "seq", unique=True),)

    id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    seq: Mapped[int] = mapped_column(Big)
    ts: Mapped[int] = mapped_column(Big)
    """Milliseconds since 1970."""
    kind: Mapped[int] = mapped_column(SmallInteger)
    data: Mapped[bytes] = mapped_column(LargeBinary)
