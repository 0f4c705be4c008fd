"""The audit log as the database keeps it. Triggers refuse to change or remove a record."""

from sqlalchemy import Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from earthshine.control.db.base import Base, Big


class AuditRow(Base):
    """One record. It refers to nothing: it outlives people, sessions and runners."""

    __tablename__ = "audit_records"
    __table_args__ = (
        Index("ix_audit_records_kind_seq", "kind", "seq"),
        Index("ix_audit_records_person_id_seq", "person_id", "seq"),
        Index("ix_audit_records_session_id_seq", "session_id", "seq"),
    )

    seq: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    at: Mapped[int] = mapped_column(Big)
    """Milliseconds since 1970."""
    kind: Mapped[str] = mapped_column(String(64))
    person_id: Mapped[str | None] = mapped_column(String(64))
    person_name: Mapped[str] = mapped_column(String(200))
    address: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(Text)
    session_id: Mapped[str | None] = mapped_column(String(64))
    runner_id: Mapped[str | None] = mapped_column(String(64))
    details: Mapped[str] = mapped_column(Text)
    """Canonical JSON."""
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class AuditHeadRow(Base):
    """The last record, in one row: who writes locks it, so that the chain cannot fork."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """Always 1."""
    seq: Mapped[int] = mapped_column(Big)
    hash: Mapped[str] = mapped_column(String(64))
