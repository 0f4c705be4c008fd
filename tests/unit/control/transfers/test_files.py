"""Files over the API, with a runner's real end behind it."""

import asyncio
import contextlib
import socket

import pytest

from earthshine.control.audit.kinds import AuditKind
from earthshine.control.dialing.service import DialedStream
from earthshine.control.errors import AuditUnavailableError
from earthshine.net.handover import Detached
from earthshine.protocols.envelope import OpenTransfers
from earthshine.runner.desktops.recording.store import RecordingStore
from earthshine.runner.transfers.folders import FileFolders
from earthshine.runner.transfers.server import TransferServer
from earthshine.runner.transfers.settings import FileSettings
from tests.unit.control.world import exited

OCTETS = {"content-type": "application/octet-stream"}


class _DoneError(Exception):
    pass


class Scene:
    def __init__(self, here, session, folder):
        self.here = here
        self.session = session
        self.folder = folder
        self.base = f"/api/v1/sessions/{session}/files"

    async def put(self, name, content, person=None, **options):
        http = (person or self.here.member).http
        return await http.put(f"{self.base}/{name}", content=content, headers=OCTETS, **options)

    async def inside(self):
        """Names of what lies in the folder, whatever it is."""
        return await asyncio.to_thread(lambda: sorted(p.name for p in self.folder.iterdir()))


@pytest.fixture
async def scene(here, runner, tmp_path):
    session = await runner.run_session(here.member)
    state = tmp_path / "runner"
    settings = FileSettings(max_file=8 * 1024**2)
    folders = await asyncio.to_thread(FileFolders, state, settings)
    folder = await asyncio.to_thread(folders.prepare, session, str(tmp_path))
    server = TransferServer(state, folders, RecordingStore(state, limit=10**9, days=7))

    async def dial(runner_id, destination):
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, destination.removeprefix("unix:"))
        return DialedStream(runner_id, destination, Detached(sock, b""))

    async def answer():
        while True:
            frame = await runner.command(OpenTransfers)
            await runner.done(frame, {"destination": f"unix:{await server.place()}"})

    here.plane.dialing.dial = dial
    try:
        async with asyncio.TaskGroup() as tasks:
            server.begin(tasks)
            answering = tasks.create_task(answer())
            yield Scene(here, session, folder)
            answering.cancel()
            raise _DoneError
    except* _DoneError:
        await server.close()


async def test_a_file_there_and_back(scene):
    content = bytes(range(256)) * 4 * 1024 * 4  # beyond what other bodies may have
    stored = await scene.put("report.pdf", content)
    assert stored.status_code == 201, stored.text
    assert stored.json() == {
        "name": "report.pdf",
        "size": len(content),
        "path": str(scene.folder / "report.pdf"),
    }
    listed = (await scene.here.member.http.get(scene.base)).json()
    assert [(f["name"], f["size"]) for f in listed["files"]] == [("report.pdf", len(content))]
    fetched = await scene.here.member.http.get(f"{scene.base}/report.pdf")
    assert fetched.content == content
    assert fetched.headers["content-disposition"] == "attachment; filename*=UTF-8''report.pdf"
    assert "sandbox" in fetched.headers["content-security-policy"]


async def test_an_empty_file(scene):
    assert (await scene.put("empty", b"")).status_code == 201
    assert (await scene.here.member.http.get(f"{scene.base}/empty")).content == b""


async def test_nothing_comes_that_cannot_be_recorded(scene, monkeypatch):
    record = scene.here.plane.trail.record

    async def failing(kind, *arguments, **details):
        if kind in (AuditKind.FILE_UPLOADED, AuditKind.FILE_DOWNLOADED):
            raise AuditUnavailableError("The disk is full.")
        await record(kind, *arguments, **details)

    assert (await scene.put("there", b"secret")).status_code == 201
    monkeypatch.setattr(scene.here.plane.trail, "record", failing)
    refused = await scene.put("a", b"content")
    assert (refused.status_code, refused.json()["code"]) == (503, "audit-unavailable")
    got = await scene.here.member.http.get(f"{scene.base}/there")
    assert got.status_code == 503
    assert b"secret" not in got.content
    while await scene.inside() != ["there"]:  # the runner hears that we hung up
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("a%5Cb", 422, "no other folder"),
        ("%E2%80%AEx", 422, "turn text around"),
        ("x" * 201, 422, "shorten"),
        ("a%2Fb", 415, ""),
        ("..%2F..%2Fetc", 415, ""),
    ],
)
async def test_names_that_cannot_be(scene, name, status, words):
    answer = await scene.put(name, b"x")
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]
    assert await scene.inside() == []


async def test_refusals_say_what_to_do(scene):
    assert (await scene.put("a", b"old")).status_code == 201
    again = await scene.put("a", b"new")
    assert again.status_code == 409
    assert again.json()["detail"] == "There is a file a already."
    assert again.json()["remedy"] == "Replace it, or choose another name."
    assert (await scene.put("a", b"new", params={"replace": "true"})).status_code == 201
    large = await scene.put("large", bytes(8 * 1024**2 + 1))
    assert large.status_code == 422
    assert "this machine takes 8 MiB" in large.json()["detail"]
    missing = await scene.here.member.http.get(f"{scene.base}/missing")
    assert missing.status_code == 404
    assert await scene.inside() == ["a"]


async def test_only_files_of_a_known_length(scene):
    http = scene.here.member.http
    json = await http.put(f"{scene.base}/a", json={})
    assert json.status_code == 415
    form = await http.put(f"{scene.base}/a", data={"a": "b"})
    assert form.status_code == 415

    async def body():
        yield b"x"

    chunked = await http.put(f"{scene.base}/a", content=body(), headers=OCTETS)
    assert chunked.status_code == 422
    assert "length" in chunked.json()["detail"]
    foreign = {**OCTETS, "origin": "https://evil.example"}
    refused = await http.put(f"{scene.base}/a", content=b"x", headers=foreign)
    assert refused.status_code == 403
    assert await scene.inside() == []


async def test_after_the_end_files_are_fetched_and_no_longer_sent(scene, runner):
    assert (await scene.put("a", b"result")).status_code == 201
    await runner.log(scene.session, exited(2))
    while (await scene.here.member.http.get(scene.base[:-6])).json()["state"] != "exited":
        await asyncio.sleep(0.01)
    refused = await scene.put("b", b"late")
    assert refused.status_code == 409
    assert "ended" in refused.json()["detail"]
    assert (await scene.here.member.http.get(f"{scene.base}/a")).content == b"result"


async def test_too_many_at_once_are_refused(scene):
    service = scene.here.plane.files
    actor = scene.here.member.actor
    with contextlib.ExitStack() as busy:
        for _ in range(16):
            busy.enter_context(service._one_more(actor))
        assert (await scene.put("a", b"x")).status_code == 429
    assert (await scene.put("a", b"x")).status_code == 201
