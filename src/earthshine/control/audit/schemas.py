"""What the API says about the audit log."""

from datetime import datetime

from earthshine.control.audit.chain import Finding
from earthshine.control.audit.kinds import AuditKind, Detail
from earthshine.control.schema import View


class AuditRecord(View):
    """One record. `hash` seals it and, through `previous`, all before it."""

    seq: int
    at: datetime
    kind: AuditKind | str
    """A kind of a newer version stays a plain string."""
    person_id: str | None
    person_name: str
    """As the person was called then; empty where nobody was signed in."""
    address: str
    subject: str
    """What or whom it was done to."""
    session_id: str | None
    runner_id: str | None
    details: dict[str, Detail]
    previous: str
    hash: str


class AuditPage(View):
    """Records, newest first. `next_before` goes on with older ones."""

    records: list[AuditRecord]
    next_before: int | None = None


class AuditProblem(View):
    """One thing that is wrong with the chain; `seq` is the (first) record it is about."""

    seq: int
    finding: Finding
    what: str


class AuditHead(View):
    """The last record's number and hash: kept elsewhere, it proves everything before it."""

    seq: int
    hash: str


class AuditVerification(View):
    """The whole chain, read and checked."""

    ok: bool
    records: int
    head: AuditHead
    problems: list[AuditProblem]
