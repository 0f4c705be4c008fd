"""All models, for migrations."""

from earthshine.control.accounts.models import Person, SignInCodeRow, SignInRow
from earthshine.control.audit.models import AuditHeadRow, AuditRow
from earthshine.control.runners.models import RunnerRow
from earthshine.control.secrets.models import SecretRow
from earthshine.control.sessions.models import EventRow, SessionRow

ALL_MODELS = (
    *(Person, SignInCodeRow, SignInRow),
    *(RunnerRow, SessionRow, EventRow),
    *(AuditRow, AuditHeadRow, SecretRow),
)
