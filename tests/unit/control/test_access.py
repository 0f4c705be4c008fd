import pytest

from earthshine.control.access import RULE, Actor, Permission, Role, permits
from earthshine.control.errors import NotAllowedError

ANNA = Actor("p", "Anna", Role.MEMBER, sign_in_id="s")


class FakeAccess:
    def __init__(self, answer=None):
        self.asked = []
        self.answer = answer

    async def require(self, actor, permission, resource_id):
        self.asked.append((actor, permission, resource_id))
        if self.answer:
            raise self.answer


class Service:
    def __init__(self, access):
        self.access = access
        self.done = []

    @permits(Permission.SESSION_CONTROL)
    async def control(self, actor: Actor, session_id: str, much: int = 1) -> str:
        """Doc."""
        self.done.append((session_id, much))
        return "done"

    @permits(Permission.EVERYONE)
    async def all(self, actor: Actor, text: str) -> str:
        return text


async def test_the_rule_is_asked_first():
    service = Service(FakeAccess())
    assert await service.control(ANNA, "s1", much=2) == "done"
    assert service.access.asked == [(ANNA, Permission.SESSION_CONTROL, "s1")]
    assert service.done == [("s1", 2)]


async def test_a_refusal_does_nothing():
    service = Service(FakeAccess(NotAllowedError("no")))
    with pytest.raises(NotAllowedError):
        await service.control(ANNA, "s1")
    assert service.done == []


async def test_rules_for_everybody_have_no_resource():
    service = Service(FakeAccess())
    assert await service.all(ANNA, "text") == "text"
    assert service.access.asked == [(ANNA, Permission.EVERYONE, None)]


async def test_the_resource_has_to_come_first():
    service = Service(FakeAccess())
    with pytest.raises(TypeError, match="resource id"):
        await service.control(ANNA, much=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="resource id"):
        await service.control(ANNA, 5)  # type: ignore[arg-type]
    assert service.access.asked == []


def test_the_rule_can_be_seen():
    assert getattr(Service.control, RULE) is Permission.SESSION_CONTROL
    assert Service.control.__doc__ == "Doc."
