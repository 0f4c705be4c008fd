"""All models, for migrations."""

from earthshine.control.accounts.models import Person, SignInCodeRow, SignInRow
from earthshine.control.devices.models import PairingRow, RefreshFamily
from earthshine.control.runners.models import RunnerRow
from earthshine.control.sessions.models import EventRow, SessionRow

ALL_MODELS = (
    *(Person, SignInCodeRow, SignInRow),
    *(RunnerRow, PairingRow, RefreshFamily),
    *(SessionRow, EventRow),
)
