"""Streams with files on the runner's socket, with the runner's policy."""

import asyncio
import contextlib

import pytest

from earthshine.net.bridge import TransportStream
from earthshine.net.transfer import TransferBrokenError, TransferLink
from earthshine.protocols.transfer import (
    Dropped,
    DropSegment,
    FileEnded,
    Files,
    GetFile,
    ListFiles,
    ListSegments,
    PieceCame,
    PutFile,
    Ready,
    Refused,
    Segments,
    Stored,
)
from earthshine.runner.desktops.recording.store import RecordingStore
from earthshine.runner.policy.rules import Policy, Rules
from earthshine.runner.transfers.folders import FileFolders
from earthshine.runner.transfers.server import TransferServer
from earthshine.runner.transfers.settings import FileSettings


class _DoneError(Exception):
    pass


class Scene:
    def __init__(self, server, folders, policy):
        self.server = server
        self.folders = folders
        self.policy = policy

    @contextlib.asynccontextmanager
    async def link(self):
        path = await self.server.place()
        assert self.server.serves(str(path))
        link = TransferLink(TransportStream(*await asyncio.open_unix_connection(path)))
        try:
            yield link
        finally:
            link.abort()

    async def ask(self, request):
        async with self.link() as link:
            await link.say(request)
            return await link.message()


@pytest.fixture
async def scene(tmp_path):
    folders = FileFolders(tmp_path, FileSettings(max_file=10_000_000))
    folders.prepare("s1", str(tmp_path))
    policy = [Policy()]
    store = RecordingStore(tmp_path, limit=10**9, days=7)
    server = TransferServer(tmp_path, folders, store, lambda: policy[0])
    try:
        async with asyncio.TaskGroup() as tasks:
            server.begin(tasks)
            yield Scene(server, folders, policy)
            raise _DoneError
    except* _DoneError:
        await server.close()
    assert not (tmp_path / "transfers-folder").exists()


async def put(link, name, data, size=None, **more):
    await link.say(
        PutFile(session="s1", name=name, size=len(data) if size is None else size, **more)
    )
    answer = await link.message()
    if isinstance(answer, Refused):
        return answer
    assert answer == Ready(size=len(data) if size is None else size)
    await link.send(data)
    await link.end()
    return await link.message()


async def fetched(link, name):
    await link.say(GetFile(session="s1", name=name))
    answer = await link.message()
    if isinstance(answer, Refused):
        return answer
    data = b""
    while True:
        event = await link.hear()
        if isinstance(event, FileEnded):
            assert len(data) == answer.size
            return data
        assert isinstance(event, PieceCame)
        data += event.data


async def test_files_there_and_back_on_one_stream(scene):
    large = bytes(range(256)) * 4 * 1024 * 3
    async with scene.link() as link:
        stored = await put(link, "large", large)
        assert isinstance(stored, Stored)
        assert stored.path == str(scene.folders.path("s1") / "large")
        assert await fetched(link, "large") == large
        await link.say(ListFiles(session="s1"))
        listed = await link.message()
        assert isinstance(listed, Files)
        assert [(entry.name, entry.size) for entry in listed.files] == [("large", len(large))]


async def test_a_stream_that_breaks_off_leaves_nothing(scene, eventually):
    async with scene.link() as link:
        await link.say(PutFile(session="s1", name="half", size=1000))
        assert await link.message() == Ready(size=1000)
        await link.send(b"x" * 999)
        await eventually(lambda: list(scene.folders.path("s1").glob(".earthshine-*")))
    await eventually(lambda: not list(scene.folders.path("s1").iterdir()))


@pytest.mark.parametrize("sent", [b"x" * 9, b"x" * 11])
async def test_other_than_announced_is_refused(scene, sent):
    async with scene.link() as link:
        answer = await put(link, "a", sent, size=10)
        assert isinstance(answer, Refused)
        assert "announced" in answer.detail
    assert list(scene.folders.path("s1").iterdir()) == []


async def test_refused_while_bytes_are_still_coming(scene):
    async with scene.link() as link:
        await link.say(PutFile(session="s1", name="a/b", size=10**6))
        for _ in range(8):
            await link.send(bytes(100_000))
        answer = await link.message()
        assert isinstance(answer, Refused)
        assert answer.code == "bad-name"


async def test_the_policy_counts(scene):
    scene.policy[0] = Policy(Rules(files=False))
    for request in (
        ListFiles(session="s1", by="anna"),
        GetFile(session="s1", name="a", by="anna"),
        PutFile(session="s1", name="a", size=1, by="anna"),
    ):
        answer = await scene.ask(request)
        assert isinstance(answer, Refused)
        assert answer.code == "refused-by-policy"
        assert "`files`" in answer.detail
    scene.policy[0] = Policy(Rules(people=["anna"]))
    assert isinstance(await scene.ask(ListFiles(session="s1", by="anna")), Files)
    assert isinstance(await scene.ask(ListFiles(session="s1", by="otto")), Refused)


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        (Rules(), True),
        (Rules(input=False), False),
        (Rules(input=False, files=True), True),
        (Rules(files=False), False),
    ],
)
def test_where_nothing_may_be_typed_nothing_is_sent_unless_said(rules, allowed):
    assert Policy(rules).transfers_files is allowed


async def test_recordings_without_any(scene):
    assert await scene.ask(ListSegments()) == Segments(segments=[])
    drop = DropSegment(session="s1", recording="0" * 16, number=1)
    assert await scene.ask(drop) == Dropped()


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\1\1\xc1", b"\xff" * 100])
async def test_what_is_not_the_protocol_ends_that_stream_only(scene, garbage):
    path = await scene.server.place()
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(garbage)
    assert await reader.read() == b""
    writer.close()
    assert isinstance(await scene.ask(ListFiles(session="s1")), Files)


async def test_a_link_says_when_it_is_of_no_use(scene):
    async with scene.link() as link:
        await link.say(Ready(size=1))  # an answer where a request was due
        with pytest.raises(TransferBrokenError):
            await link.hear()
