"""All models, for migrations."""

from earthshine.control.accounts.models import (
    OidcIdentityRow,
    PasskeyRow,
    Person,
    SignInCodeRow,
    SignInRow,
)
from earthshine.control.audit.models import AuditHeadRow, AuditRow
from earthshine.control.devices.models import PairingRow, RefreshFamily
from earthshine.control.runners.models import RunnerRow
from earthshine.control.secrets.models import SecretRow
from earthshine.control.sessions.models import EventRow, SessionRow
from earthshine.control.sharing.models import SessionMemberRow, ShareLinkRow

ALL_MODELS = (
    Person,
    SignInCodeRow,
    SignInRow,
    RunnerRow,
    SessionRow,
    EventRow,
    SessionMemberRow,
    ShareLinkRow,
    PasskeyRow,
    OidcIdentityRow,
    PairingRow,
    RefreshFamily,
    AuditRow,
    AuditHeadRow,
    SecretRow,
)
