"""A real runner with a policy, and a control plane that asks for what it forbids.

The control plane is a fake: it speaks the protocol and has no rules of its own, as one that was
broken into would.
"""

import asyncio
import contextlib

import pytest
from websockets.asyncio.server import serve

from earthshine.protocols.envelope import (
    Control,
    Done,
    Input,
    Interrupt,
    ListFolders,
    Log,
    Prompt,
    Refused,
    RunnerCondition,
    SessionCondition,
    Start,
    Status,
    Stop,
    Worktree,
)
from earthshine.protocols.revdial import Dial, DialFailed, DialFault
from earthshine.runner.policy.rules import NOT_OFFERED
from tests.unit.runner.test_dialhome import FakeControl
from tests.world import Program, World

POLICY = """
agents = ["command"]
commands = ["cat", "sh"]
folders = ["{folder}"]
ports = ["8000-8999"]
people = ["mia"]
max_sessions = 2
"""


class Machine:
    """What the fixture yields."""

    def __init__(self, root, control: FakeControl, port: int) -> None:
        self.root = root
        self.control = control
        self.folder = root / "work"
        self.folder.mkdir()
        (self.folder / "link").symlink_to("/etc")
        self.policy = root / "policy.toml"
        self.policy.write_text(POLICY.format(folder=self.folder))
        self.world = World(root)
        (root / "control").mkdir()
        token = root / "control" / "runner-token"
        token.write_text("token\n")
        token.chmod(0o600)
        self.program: Program = self.world.runner(
            url=f"http://127.0.0.1:{port}", EARTHSHINE_RUNNER_POLICY_FILE=str(self.policy)
        )

    def start(self, *argv, **other):
        values = {
            "request_id": "1",
            "agent": "command",
            "argv": list(argv),
            "folder": str(self.folder),
            "worktree": None,
            "prompt": "",
            "by": "mia",
            "cols": 80,
            "rows": 24,
        }
        return Start(**(values | other))


@pytest.fixture
async def machine(tmp_path):
    control = FakeControl()
    async with serve(
        control.serve, "127.0.0.1", 0, process_request=control.check, max_size=None
    ) as server:
        here = Machine(tmp_path, control, server.sockets[0].getsockname()[1])
        try:
            yield here
        finally:
            await asyncio.to_thread(here.world.close)


async def greeted(machine):
    await asyncio.to_thread(machine.program.start)
    async with asyncio.timeout(30):
        arrival = await machine.control.next()
    return arrival, await arrival.greet()


async def test_a_control_plane_asks_for_what_the_policy_forbids(machine):
    arrival, hello = await greeted(machine)
    offers = {offer.name: offer for offer in hello.payload.agents}
    assert offers["command"].detail is None
    assert {o.detail for name, o in offers.items() if name != "command"} == {NOT_OFFERED}

    async def ask(payload, session="s1"):
        answer = await arrival.ask(session, payload)
        if isinstance(answer, Refused):
            assert answer.code == "refused-by-policy", answer
            assert str(machine.policy) in answer.detail
            assert answer.remedy
            return answer.detail.rpartition("(`")[2].partition("`")[0]
        assert isinstance(answer, Done), answer
        return answer

    start = machine.start
    assert await ask(start(agent="shell")) == "agents"
    assert await ask(start(agent="claude", prompt="hello")) == "agents"
    assert await ask(start("id")) == "commands"
    assert await ask(start("/bin/sh")) == "commands"
    assert await ask(start("cat", folder="/etc")) == "folders"
    assert await ask(start("cat", folder=f"{machine.folder}/../../..")) == "folders"
    assert await ask(start("cat", folder=f"{machine.folder}/link")) == "folders"
    worktree = Worktree(repository="/etc", branch="b")
    assert await ask(start("cat", worktree=worktree)) == "folders"
    assert await ask(start("cat", by="otto")) == "people"
    assert await ask(start("cat", by="")) == "people"
    assert await ask(ListFolders(request_id="2", path="/etc")) == "folders"
    listing = await ask(ListFolders(request_id="2", path=""))
    assert listing.value["path"] == str(machine.folder)
    assert listing.value["parent"] is None
    assert not list((machine.root / "runner" / "sessions").iterdir()), "and nothing was begun"

    assert isinstance(await ask(start("cat")), Done)
    assert isinstance(await ask(start("cat"), "s2"), Done)
    assert await ask(start("cat"), "s3") == "max_sessions"
    by_otto = {"request_id": "3", "by": "otto", "command_id": "c"}
    assert await ask(Prompt(text="x", **by_otto)) == "people"
    assert await ask(Interrupt(**by_otto)) == "people"
    assert await ask(Stop(how="kill", **by_otto)) == "people"


async def test_key_strokes_are_refused_and_the_session_says_so(machine):
    arrival, _ = await greeted(machine)
    assert isinstance(await arrival.ask("s1", machine.start("cat")), Done)
    await arrival.log("s1", 2)
    for by, text in (("otto", b"forbidden\r"), ("", b"nameless\r"), ("mia", b"allowed\r")):
        await arrival.say(Control(session_id="s1", payload=Input(data=text, by=by)))
    conditions: list[SessionCondition] = []

    def printed() -> bytes:
        return b"".join(event.data or b"" for event in arrival.events.get("s1", []))

    while b"allowed" not in printed():
        frame = await arrival.hear(Status, Log)
        if isinstance(frame, Status):
            assert isinstance(frame.payload, SessionCondition)
            conditions.append(frame.payload)
        else:
            await arrival._keep(frame)
    output = printed()
    assert b"forbidden" not in output
    assert b"nameless" not in output
    assert [c.code for c in conditions] == ["refused-by-policy"] * 2 + ["ok"]
    assert "otto (`people` in" in conditions[0].detail


async def test_ports_are_refused_with_the_rule_and_the_file(machine):
    arrival, _ = await greeted(machine)
    for destination, rule in (
        ("127.0.0.1:22", "ports"),
        ("localhost:7999", "ports"),
        ("169.254.169.254:80", "destinations"),
        ("unix:/run/docker.sock", "destinations"),
    ):
        await arrival.say(Control(payload=Dial("d1", "ticket", destination)))
        failed = (await arrival.hear(Control)).payload
        assert isinstance(failed, DialFailed)
        assert failed.fault is DialFault.NOT_PERMITTED
        assert f"(`{rule}` in {machine.policy})" in failed.detail
        assert failed.detail.startswith("refused-by-policy")
    await arrival.say(Control(payload=Dial("d2", "ticket", "0.0.0.0:8000")))
    failed = (await arrival.hear(Control)).payload
    assert failed.fault is DialFault.BAD_DESTINATION, "a wildcard is no destination at all"


async def test_a_change_counts_at_once_and_a_broken_one_changes_nothing(machine):
    arrival, _ = await greeted(machine)
    machine.policy.write_text("agents = [")
    answer = await arrival.ask("s1", machine.start(agent="shell"))
    assert isinstance(answer, Refused)
    assert "`agents`" in answer.detail
    machine.policy.write_text('agents = ["shell"]\nmax_sessions = 0\n')
    status = await arrival.hear(Status)
    assert isinstance(status.payload, RunnerCondition)
    assert {o.name for o in status.payload.agents if o.detail != NOT_OFFERED} == {"shell"}
    answer = await arrival.ask("s1", machine.start(agent="shell", folder="/"))
    assert isinstance(answer, Refused)
    assert "`max_sessions`" in answer.detail


@pytest.mark.parametrize(
    ("text", "words"), [('agent = ["x"]', "unknown field"), (None, "does not exist")]
)
async def test_a_runner_does_not_start_with_a_policy_that_it_cannot_read(machine, text, words):
    if text is None:
        machine.policy.unlink()
    else:
        machine.policy.write_text(text)
    await asyncio.to_thread(machine.program.start)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            while machine.program.is_running():
                await asyncio.sleep(0.02)
    assert not machine.program.is_running()
    assert words in machine.program.output()
    assert str(machine.policy) in machine.program.output()
