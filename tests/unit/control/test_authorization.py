"""Who may do what, as tables."""

import pytest

from earthshine.control.access import ALL_SCOPES, Actor, Permission, Role, Scope
from earthshine.control.authorization import (
    GRANTED,
    SCOPES,
    Authorization,
    RunnerPossession,
    SessionRole,
)
from earthshine.control.errors import NotAllowedError, NotFoundError

ADMIN = Actor("root", "Root", Role.ADMIN, "1")
ANNA = Actor("anna", "Anna", Role.MEMBER, "2")
BEN = Actor("ben", "Ben", Role.MEMBER, "3")
GUEST = Actor("guest", "Guest", Role.GUEST, "4")
ROLES = {
    ("s1", "anna"): SessionRole.OWNER,
    ("s2", "anna"): SessionRole.CONTROLLER,
    ("s3", "anna"): SessionRole.APPROVER,
    ("s4", "anna"): SessionRole.VIEWER,
    ("s1", "guest"): SessionRole.VIEWER,
}
RUNNERS = {
    "annas": RunnerPossession("anna", shared=False),
    "shared": RunnerPossession("anna", shared=True),
    "static": RunnerPossession(None, shared=True),
}


@pytest.fixture
def access():
    async def session_role(session_id, person_id):
        return ROLES.get((session_id, person_id))

    return Authorization(session_role, RUNNERS.get)


async def outcome(access, actor, permission, resource=None):
    try:
        await access.require(actor, permission, resource)
    except NotFoundError:
        return "unknown"
    except NotAllowedError:
        return "no"
    return "yes"


@pytest.mark.parametrize(
    ("permission", "admin", "member", "guest"),
    [
        (Permission.EVERYONE, "yes", "yes", "yes"),
        (Permission.SESSION_LIST, "yes", "yes", "yes"),
        (Permission.MEMBER, "yes", "yes", "no"),
        (Permission.SESSION_START, "yes", "yes", "no"),
        (Permission.ACCOUNT, "yes", "yes", "no"),
        (Permission.RUNNER_PAIR, "yes", "yes", "no"),
        (Permission.ADMIN, "yes", "no", "no"),
    ],
)
async def test_what_a_role_may(access, permission, admin, member, guest):
    for actor, expected in ((ADMIN, admin), (ANNA, member), (GUEST, guest)):
        assert await outcome(access, actor, permission) == expected, actor.name


@pytest.mark.parametrize(
    ("session", "view", "approve", "control", "own"),
    [
        ("s1", "yes", "yes", "yes", "yes"),  # owner
        ("s2", "yes", "yes", "yes", "no"),  # controller
        ("s3", "yes", "yes", "no", "no"),  # approver
        ("s4", "yes", "no", "no", "no"),  # viewer
        ("s5", "unknown", "unknown", "unknown", "unknown"),  # a stranger, or no such session
    ],
)
async def test_what_a_session_role_may(access, session, view, approve, control, own):
    for permission, expected in (
        (Permission.SESSION_VIEW, view),
        (Permission.SESSION_APPROVE, approve),
        (Permission.SESSION_CONTROL, control),
        (Permission.SESSION_OWN, own),
    ):
        assert await outcome(access, ANNA, permission, session) == expected
        assert await outcome(access, ADMIN, permission, session) == "yes"
        assert await outcome(access, BEN, permission, session) == "unknown"


async def test_a_guest_has_what_was_shared_and_no_more(access):
    assert await outcome(access, GUEST, Permission.SESSION_VIEW, "s1") == "yes"
    assert await outcome(access, GUEST, Permission.SESSION_CONTROL, "s1") == "no"
    assert await outcome(access, GUEST, Permission.SESSION_VIEW, "s2") == "unknown"
    for runner in ("annas", "shared", "static"):
        assert await outcome(access, GUEST, Permission.RUNNER_USE, runner) == "unknown"


@pytest.mark.parametrize(
    ("runner", "anna_uses", "anna_owns", "ben_uses", "ben_owns"),
    [
        ("annas", "yes", "yes", "unknown", "unknown"),
        ("shared", "yes", "yes", "yes", "no"),
        ("static", "yes", "no", "yes", "no"),
        ("nowhere", "unknown", "unknown", "unknown", "unknown"),
    ],
)
async def test_runners(access, runner, anna_uses, anna_owns, ben_uses, ben_owns):
    assert await outcome(access, ANNA, Permission.RUNNER_USE, runner) == anna_uses
    assert await outcome(access, ANNA, Permission.RUNNER_OWN, runner) == anna_owns
    assert await outcome(access, BEN, Permission.RUNNER_USE, runner) == ben_uses
    assert await outcome(access, BEN, Permission.RUNNER_OWN, runner) == ben_owns
    admin = "unknown" if runner == "nowhere" else "yes"
    assert await outcome(access, ADMIN, Permission.RUNNER_OWN, runner) == admin


@pytest.mark.parametrize("scope", list(Scope))
async def test_a_token_may_only_what_its_scopes_say(access, scope):
    lacking = Actor("anna", "Anna", Role.MEMBER, "9", ALL_SCOPES - {scope})
    for permission, needed in SCOPES.items():
        resource = {"session": "s1", "runner": "annas"}.get(permission.value.partition(".")[0])
        expected = await outcome(access, ANNA, permission, resource)
        if needed is scope:
            expected = "no"
        assert await outcome(access, lacking, permission, resource) == expected


async def test_an_admins_token_without_the_scope_is_a_members(access):
    limited = Actor("root", "Root", Role.ADMIN, "9", frozenset({Scope.READ, Scope.CONTROL}))
    assert await outcome(access, limited, Permission.ADMIN) == "no"
    assert await outcome(access, limited, Permission.SESSION_VIEW, "s1") == "unknown"
    assert await outcome(access, limited, Permission.SESSION_START) == "yes"


def test_every_permission_has_a_rule():
    assert set(SCOPES) == set(Permission)
    granted = frozenset().union(*GRANTED.values())
    assert granted == {p for p in Permission if p.value.startswith("session.") and p.of_a_thing}
