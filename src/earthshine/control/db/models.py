"""All models, for migrations."""

from earthshine.control.accounts.models import Person, SignInCodeRow, SignInRow
from earthshine.control.runners.models import RunnerRow
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
)
