"""Pieces on their way from a runner, whatever breaks: the runner's end and both disks are real."""

import asyncio
import contextlib

import pytest

from earthshine.control.errors import RunnerUnavailableError
from earthshine.control.recordings import collector as module
from earthshine.control.recordings.collector import Collector
from earthshine.control.recordings.storage import Keeping, RecordingStorage
from earthshine.net.bridge import ByteStream, TransportStream
from earthshine.net.transfer import TransferLink
from earthshine.runner.desktops.recording.store import RecordingStore
from earthshine.runner.transfers.folders import FileFolders
from earthshine.runner.transfers.server import TransferServer
from earthshine.runner.transfers.settings import FileSettings
from tests.unit.runner.desktops.recording.test_recording import ORIGIN, SECOND, piece


class _DoneError(Exception):
    pass


class Line:
    """Stands in for reverse dial: connects to the runner's socket, and can break."""

    def __init__(self, server):
        self.server = server
        self.opened_times = 0
        self.breaks_after: list[int] = []
        """Bytes after which each of the next streams breaks."""

    @contextlib.asynccontextmanager
    async def opened(self, runner_id):
        self.opened_times += 1
        reader, writer = await asyncio.open_unix_connection(await self.server.place())
        stream: ByteStream = TransportStream(reader, writer)
        if self.breaks_after:
            stream = Breaking(stream, self.breaks_after.pop(0))  # type: ignore[assignment]
        try:
            yield TransferLink(stream)
        except ConnectionError as error:
            raise RunnerUnavailableError(str(error)) from None
        finally:
            stream.abort()


class Breaking:
    """A stream that ends in the middle."""

    def __init__(self, stream, left):
        self.stream = stream
        self.left = left

    async def read(self):
        if self.left == 0:
            return b""
        data = (await self.stream.read())[: self.left]
        self.left -= len(data)
        return data

    async def write(self, data):
        await self.stream.write(data)

    def abort(self):
        self.stream.abort()


class Scene:
    def __init__(self, tmp_path, line, store):
        self.line = line
        self.store = store
        self.storage = RecordingStorage(Keeping(tmp_path / "control"))
        self.owners = {"s1": "runner1"}
        self.connected = True
        self.collector = Collector(line, self.storage, self._runner_of, lambda _: self.connected)

    async def _runner_of(self, session_id):
        return self.owners.get(session_id)

    def record(self, *numbers):
        for number in numbers:
            start = ORIGIN + number * 2 * SECOND
            self.store.keep(piece(number, start), start + 2 * SECOND)

    def kept(self):
        return [p.number for found in self.storage.of_session("s1") for p in found.pieces]


@pytest.fixture
async def scene(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FIRST_RETRY", 0.02)
    store = RecordingStore(tmp_path / "runner", limit=10**9, days=7)
    folders = FileFolders(tmp_path / "runner", FileSettings())
    server = TransferServer(tmp_path / "runner", folders, store)
    try:
        async with asyncio.TaskGroup() as tasks:
            server.begin(tasks)
            it = Scene(tmp_path, Line(server), store)
            running = tasks.create_task(it.collector.run())
            yield it
            running.cancel()
            raise _DoneError
    except* _DoneError:
        await server.close()


async def test_pieces_are_fetched_and_then_deleted_there(scene, eventually):
    heard: list[object] = []
    scene.collector.on_stored = heard.append
    scene.record(1, 2, 3)
    scene.collector.wake("runner1")
    await eventually(lambda: scene.kept() == [1, 2, 3])
    await eventually(lambda: scene.store.waiting("s1") == 0)
    assert heard == ["s1"] * 3


@pytest.mark.parametrize("breaks", [[0], [300], [1500, 900], [4000, 100, 2500]])
async def test_a_line_that_breaks_loses_and_doubles_nothing(scene, eventually, breaks):
    scene.line.breaks_after = list(breaks)
    scene.record(1, 2, 3, 4)
    scene.collector.wake("runner1")
    await eventually(lambda: scene.store.waiting("s1") == 0)
    assert scene.kept() == [1, 2, 3, 4]
    assert scene.line.opened_times == len(breaks) + 1


async def test_what_cannot_be_fetched_waits_until_the_runner_is_back(scene, eventually):
    scene.connected = False
    scene.record(1)
    scene.collector.wake("runner1")
    await asyncio.sleep(0.05)
    assert scene.kept() == []
    scene.connected = True
    scene.collector.connected("runner1")
    await eventually(lambda: scene.kept() == [1])


async def test_a_piece_that_is_damaged_there_does_not_hold_up_the_others(
    scene, eventually, tmp_path
):
    scene.record(1, 2, 3)
    (place,) = (tmp_path / "runner").rglob("00000002.piece")
    whole = place.read_bytes()
    place.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    scene.collector.wake("runner1")
    await eventually(lambda: scene.store.waiting("s1") == 0)
    assert scene.kept() == [1, 3]


@pytest.mark.parametrize("owner", [None, "runner2"])
async def test_of_other_sessions_nothing_is_kept(scene, eventually, owner):
    scene.owners["s1"] = owner
    scene.record(1)
    scene.collector.wake("runner1")
    await eventually(lambda: scene.store.waiting("s1") == 0)
    assert scene.kept() == []
