"""All models, for migrations."""

from earthshine.control.accounts.models import (
    OidcIdentityRow,
    PasskeyRow,
    Person,
    SignInCodeRow,
    SignInRow,
)
from earthshine.control.runners.models import RunnerRow
from earthshine.control.sessions.models import EventRow, SessionRow

ALL_MODELS = (
    Person,
    SignInCodeRow,
    SignInRow,
    PasskeyRow,
    OidcIdentityRow,
    RunnerRow,
    SessionRow,
    EventRow,
)
