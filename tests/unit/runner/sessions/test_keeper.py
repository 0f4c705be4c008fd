"""Sessions on a runner: real holders, real spools, a control plane played by the test."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from earthshine.protocols import events
from earthshine.protocols.envelope import Input, Start, Stop, Worktree
from earthshine.protocols.events import Kind
from earthshine.runner.agents.catalog import AgentCatalog
from earthshine.runner.policy.rules import Policy, PolicyRefusedError, Rules
from earthshine.runner.sessions import held as helds
from earthshine.runner.sessions import keeper as keepers
from earthshine.runner.sessions.held import HeldSession, HolderGoneError
from earthshine.runner.sessions.keeper import SessionKeeper, StartRefusedError
from earthshine.runner.spool.writer import MIN_LIMIT


def start(*argv, **other):
    values = {
        "request_id": "1",
        "agent": "command",
        "argv": list(argv),
        "folder": "/",
        "worktree": None,
        "prompt": "",
        "by": "anna",
        "cols": 80,
        "rows": 24,
    }
    return Start(**(values | other))


class Runner:
    """A keeper in its task group, as a runner's process has it; `restart` is another process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._task: asyncio.Task[None]

    async def open(self):
        self.keeper = SessionKeeper(
            self.folder / "state",
            self.folder / "data",
            AgentCatalog(),
            spool_limit=MIN_LIMIT * 16,
            overflow="gap",
            environment={"PATH": os.environ["PATH"], "EARTHSHINE_TOKEN": "secret", "TMUX": "x"},
        )
        opened = asyncio.Event()

        async def run():
            with contextlib.suppress(asyncio.CancelledError):
                async with asyncio.TaskGroup() as tasks:
                    await self.keeper.load(tasks)
                    opened.set()
                    await asyncio.Event().wait()

        self._task = asyncio.create_task(run())
        await opened.wait()

    async def close(self):
        self.keeper.close()
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    async def restart(self):
        await self.close()
        await self.open()

    async def log(self, session_id):
        """Take a session's log as the control plane would; returns it once it is delivered."""
        session = self.keeper.get(session_id)
        assert session is not None
        session.resume(0, 0)
        taken = []
        async with asyncio.timeout(20):
            while (batch := await session.next_batch()) is not None:
                taken += [events.decode(bytes(body)) for body in batch.events]
                assert session.acked(batch.last)
        return taken


@pytest.fixture
async def runner(tmp_path, no_blocking):
    runner = Runner(tmp_path)
    await runner.open()
    yield runner
    async with asyncio.timeout(20):
        while not all(session.ended for session in runner.keeper):
            for session in runner.keeper:
                with contextlib.suppress(HolderGoneError):
                    session.tell(Stop(request_id="", by="", how="kill", command_id="end"))
            await asyncio.sleep(0.01)
    await runner.close()


def printed(log):
    return b"".join(event.data for event in log if event.kind == Kind.OUTPUT)


async def test_a_session_is_delivered_whole(runner):
    added: list[HeldSession] = []
    runner.keeper.on_added = added.append
    await runner.keeper.start("s1", start("sh", "-c", "echo hello; exit 3"))
    assert [session.session_id for session in added] == ["s1"]
    log = await runner.log("s1")
    assert printed(log) == b"hello\r\n"
    assert events.detail(log[-1], events.Exited).exit_code == 3
    assert [event.seq for event in log] == list(range(1, len(log) + 1))


async def test_what_is_delivered_is_removed(runner):
    await runner.keeper.start("s1", start("true"))
    session = runner.keeper.get("s1")
    await runner.log("s1")
    await runner.keeper.delivered(session)
    assert runner.keeper.get("s1") is None
    assert not session.folder.exists()


async def test_an_agent_outlives_its_runner(runner, eventually):
    await runner.keeper.start("s1", start("sh", "-c", "read a; echo got $a; read b; exit 4"))
    await eventually(lambda: runner.keeper.get("s1").attached)
    await runner.restart()
    session = runner.keeper.get("s1")
    await eventually(lambda: session.attached)
    assert not session.ended
    tail = session.tail
    session.tell(Input(data=b"one\r"))
    await eventually(lambda: session.tail > tail)  # on its way it would end with the runner
    await runner.restart()
    session = runner.keeper.get("s1")
    await eventually(lambda: session.attached)
    session.tell(Input(data=b"two\r"))
    log = await runner.log("s1")
    assert b"got one" in printed(log)
    assert events.detail(log[-1], events.Exited).exit_code == 4


async def test_a_holder_that_dies_ends_the_session_in_words(runner, eventually):
    await runner.keeper.start("s1", start("sh", "-c", "echo before; sleep 60"))
    session = runner.keeper.get("s1")
    await eventually(lambda: session.tail >= 2)
    agent = events.detail((await asyncio.to_thread(_first, session)), events.Started).pid
    stat = await asyncio.to_thread(Path(f"/proc/{agent}/stat").read_text)
    os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)
    log = await runner.log("s1")
    failed = events.detail(log[-1], events.Failed)
    assert failed.code == "holder-died"
    assert failed.remedy
    assert printed(log) == b"before\r\n"
    with contextlib.suppress(ProcessLookupError):
        os.killpg(agent, signal.SIGKILL)


def _first(session):
    from earthshine.runner.spool.reader import SpoolReader

    reader = SpoolReader(session.folder / "spool")
    batch = reader.read(1, 0)
    reader.close()
    assert batch is not None
    return events.decode(bytes(batch.events[0]))


async def test_a_session_that_ended_while_the_runner_was_away_is_still_delivered(
    runner, eventually
):
    await runner.keeper.start("s1", start("sh", "-c", "echo hello"))
    folder = runner.keeper.get("s1").folder
    await runner.close()
    await eventually(lambda: not (folder / "holder.sock").exists())
    await runner.open()
    session = runner.keeper.get("s1")
    await eventually(lambda: session.ended)
    assert session.position().ended
    assert printed(await runner.log("s1")) == b"hello\r\n"


async def test_a_resume_in_the_middle(runner, eventually):
    await runner.keeper.start("s1", start("sh", "-c", "seq 1 20000"))
    session = runner.keeper.get("s1")
    whole = await runner.log("s1")
    half = len(whole) // 2
    session.ended = True
    session.sender.acked = 0
    offset = len(printed(whole[:half]))
    session.resume(whole[half - 1].seq, offset)
    batch = await session.next_batch()
    assert batch.first == whole[half].seq


async def test_commands_for_a_session_that_has_ended(runner, eventually):
    await runner.keeper.start("s1", start("true"))
    session = runner.keeper.get("s1")
    await eventually(lambda: session.ended)
    with pytest.raises(HolderGoneError):
        session.tell(Input(data=b"x"))


async def test_an_ack_that_cannot_be(runner, eventually):
    await runner.keeper.start("s1", start("cat"))
    session = runner.keeper.get("s1")
    session.resume(0, 0)
    assert not session.acked(5)


async def test_a_second_start_of_the_same_session_changes_nothing(runner):
    results = await asyncio.gather(
        *[runner.keeper.start("s1", start("cat")) for _ in range(3)], return_exceptions=True
    )
    assert results == [None] * 3
    assert len(list(runner.keeper)) == 1


@pytest.mark.parametrize(
    ("session_id", "command", "code"),
    [
        ("../x", start("true"), "invalid"),
        ("", start("true"), "invalid"),
        ("x" * 65, start("true"), "invalid"),
        ("s1", start("no-such-program"), "agent-missing"),
        ("s1", start(), "agent-missing"),
        ("s1", start("true", folder="/no/such"), "folder-missing"),
        ("s1", start("true", agent="hal"), "agent-missing"),
        ("s1", start("/bin/sh", "x" * 200_000), "spawn-failed"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_what_cannot_be_started_says_why_and_leaves_nothing(
    runner, session_id, command, code
):
    with pytest.raises(StartRefusedError) as caught:
        await runner.keeper.start(session_id, command)
    assert caught.value.code == code
    assert list(runner.keeper) == []
    assert list((runner.folder / "state" / "sessions").iterdir()) == []


async def test_a_missing_agent_leaves_no_worktree(runner, tmp_path):
    repository = tmp_path / "repository"
    for arguments in (["init", "-q", str(repository)],):
        await asyncio.to_thread(subprocess.run, ["git", *arguments], check=True)
    tree = Worktree(repository=str(repository), branch="b")
    with pytest.raises(StartRefusedError, match="not found"):
        await runner.keeper.start("s1", start("no-such", folder=None, worktree=tree))
    assert not (tmp_path / "data" / "worktrees").exists()


async def test_a_full_disk_is_said_in_words(runner, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(StartRefusedError) as caught:
        await runner.keeper.start("s1", start("true"))
    assert caught.value.code == "disk-full"
    monkeypatch.undo()


async def test_the_policy_is_asked_before_anything_is_begun(runner, tmp_path):
    policy = Policy(
        Rules(commands=["cat"], folders=[str(tmp_path)], people=["anna"], max_sessions=1)
    )
    runner.keeper._policy = lambda: policy
    for command in (start("sh"), start("cat", folder="/"), start("cat", by="")):
        with pytest.raises(PolicyRefusedError):
            await runner.keeper.start("s1", command)
    assert list((tmp_path / "state" / "sessions").iterdir()) == []
    # Asked for at the same time: none is running yet when the second is looked at.
    results = await asyncio.gather(
        *(runner.keeper.start(f"s{n}", start("cat", folder=str(tmp_path))) for n in (1, 2)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, PolicyRefusedError) for result in results) == 1
    assert len(list(runner.keeper)) == 1


async def test_a_machine_that_cannot_start_processes_says_so(runner, monkeypatch):
    async def fails(*_, **__):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", fails)
    with pytest.raises(StartRefusedError) as caught:
        await runner.keeper.start("s1", start("true"))
    assert caught.value.code == "spawn-failed"
    monkeypatch.undo()


async def test_too_many_sessions(runner, monkeypatch):
    monkeypatch.setattr(keepers, "MAX_SESSIONS", 1)
    await runner.keeper.start("s1", start("cat"))
    with pytest.raises(StartRefusedError) as caught:
        await runner.keeper.start("s2", start("cat"))
    assert caught.value.code == "too-many-sessions"


async def test_the_runners_own_secrets_are_not_the_agents(runner):
    await runner.keeper.start("s1", start("env"))
    words = printed(await runner.log("s1")).decode()
    assert "EARTHSHINE_SESSION=s1" in words
    assert "TERM=xterm-256color" in words
    assert "secret" not in words
    assert "TMUX" not in words


async def test_forgetting(runner, eventually):
    await runner.keeper.start("s1", start("cat"))
    with pytest.raises(StartRefusedError, match="still runs"):
        await runner.keeper.forget("s1")
    session = runner.keeper.get("s1")
    await eventually(lambda: session.attached)
    session.tell(Stop(request_id="", by="", how="kill", command_id="c"))
    await eventually(lambda: session.ended)
    await runner.keeper.forget("s1")
    assert list(runner.keeper) == []
    assert not session.folder.exists()
    await runner.keeper.forget("never-was")


async def test_a_folder_that_somebody_removed_does_not_stop_the_others(runner, eventually):
    await runner.keeper.start("s1", start("true"))
    await runner.keeper.start("s2", start("cat"))
    gone = runner.keeper.get("s1")
    await eventually(lambda: gone.ended)
    await asyncio.to_thread(shutil.rmtree, gone.folder)
    assert {position.session_id for position in runner.keeper.positions()} == {"s1", "s2"}
    await eventually(lambda: runner.keeper.get("s2").attached)


async def test_a_disk_that_is_full_when_a_holder_died_is_tried_again(
    runner, eventually, monkeypatch
):
    """The runner writes a dead holder's last entry as soon as it can."""
    take_over = helds.HeldSession._take_over_if_gone
    attempts = []

    def full_twice(self):
        attempts.append(self)
        if len(attempts) < 3:
            raise OSError(28, "No space left on device")
        return take_over(self)

    monkeypatch.setattr(helds.HeldSession, "_take_over_if_gone", full_twice)
    await runner.keeper.start("s1", start("true"))
    await eventually(lambda: runner.keeper.get("s1").ended)
    assert len(attempts) >= 3


# --- secrets -------------------------------------------------------------------------------------

SECRET = "sk-test-0123456789"


async def test_secrets_are_in_the_agents_environment_and_not_in_its_log(runner):
    script = "test $API_KEY = sk-test-0123456789 && echo $API_KEY $TERM $EARTHSHINE_SESSION"
    secrets = {"API_KEY": SECRET, "TERM": "dumb", "EARTHSHINE_SESSION": "x", "SHORT": "term"}
    await runner.keeper.start("s1", start("sh", "-c", script, environment=secrets))
    log = await runner.log("s1")
    # What Earthshine itself sets is not for secrets to change.
    assert printed(log) == b"[redacted API_KEY] xterm-256color s1\r\n"
    assert SECRET not in repr(start("x", environment=secrets))


async def test_secrets_are_shown_where_that_is_wanted(runner):
    runner.keeper._redact_secrets = False
    await runner.keeper.start("s1", start("printenv", "API_KEY", environment={"API_KEY": SECRET}))
    assert printed(await runner.log("s1")) == SECRET.encode() + b"\r\n"


async def test_nothing_of_a_secret_is_on_the_runners_disk(runner, tmp_path, eventually):
    script = "echo $API_KEY; printf sk-; printf t; read x"
    await runner.keeper.start("s1", start("sh", "-c", script, environment={"API_KEY": SECRET}))
    session = runner.keeper.get("s1")

    def spooled():
        return b"".join(p.read_bytes() for p in (session.folder / "spool").iterdir())

    await eventually(lambda: b"sk-t" in spooled())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"[redacted API_KEY]" in path.read_bytes() for path in files)
    assert not any(SECRET.encode() in path.read_bytes() for path in files)
