"""The JSON API of previews, over a real service; where they are shown is a fake."""

import httpx
import pytest
from fastapi import FastAPI

from earthshine.control import problems
from earthshine.control.access import Actor, Role
from earthshine.control.credentials import current_actor
from earthshine.control.errors import AuditUnavailableError, NotFoundError
from earthshine.control.previews.book import PreviewBook
from earthshine.control.previews.routes import router
from earthshine.control.previews.service import PreviewService

ANNA = Actor("p1", "Anna", Role.MEMBER, sign_in_id="s1")


class OneSession:
    """Fake access: there is session-1 only."""

    async def require(self, actor, permission, resource_id):
        if resource_id != "session-1":
            raise NotFoundError("There is no such session.")


class Places:
    """Fake listener."""

    async def assign(self, preview_id):
        return f"http://{preview_id}.preview.localhost:7181", 7181


async def runner_of(session_id):
    return "runner-1"


class Notes:
    """Fake trail."""

    def __init__(self):
        self.records = []
        self.refuses = False

    async def record(self, kind, actor, **what):
        if self.refuses:
            raise AuditUnavailableError("full")
        self.records.append((kind.value, actor.name, what["session_id"], what["details"]))


@pytest.fixture
async def client():
    app = FastAPI()
    app.include_router(router, prefix="/api/v1")
    app.dependency_overrides[current_actor] = lambda: ANNA
    problems.install(app)
    app.state.notes = Notes()
    book = PreviewBook()
    app.state.previews = PreviewService(OneSession(), book, Places(), runner_of, app.state.notes)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        client.app = app  # type: ignore[attr-defined]
        yield client


PATH = "/api/v1/sessions/session-1/previews"


async def test_open_list_close(client):
    opened = await client.post(PATH, json={"port": 3000})
    assert opened.status_code == 201
    preview = opened.json()
    assert set(preview) == {"id", "port", "url", "ticket", "expiresAt"}
    assert preview["url"] == f"http://{preview['id']}.preview.localhost:7181/"
    listed = (await client.get(PATH)).json()["previews"]
    assert [set(p) for p in listed] == [{"id", "port", "url", "expiresAt"}]
    assert (await client.delete(f"{PATH}/{preview['id']}")).status_code == 204
    assert (await client.get(PATH)).json() == {"previews": []}
    assert (await client.delete(f"{PATH}/{preview['id']}")).status_code == 404


@pytest.mark.parametrize("body", [{}, {"port": 0}, {"port": 65536}, {"port": 1, "host": "x"}])
async def test_bad_requests(client, body):
    assert (await client.post(PATH, json=body)).status_code == 422


async def test_somebody_elses_session_and_previews_turned_off(client):
    other = PATH.replace("session-1", "session-2")
    assert (await client.post(other, json={"port": 1})).status_code == 404
    client.app.state.previews = None
    assert (await client.get(PATH)).status_code == 404


async def test_opening_and_closing_are_recorded_before_they_are_done(client):
    notes = client.app.state.notes
    preview = (await client.post(PATH, json={"port": 3000})).json()
    await client.post(PATH, json={"port": 3000})
    await client.delete(f"{PATH}/nosuch")
    await client.delete(f"{PATH}/{preview['id']}")
    entry = ("Anna", "session-1", {"port": 3000})
    assert notes.records == [
        ("preview-opened", *entry),
        ("preview-opened", *entry),
        ("preview-closed", *entry),
    ]
    assert preview["ticket"] not in str(notes.records)
    notes.refuses = True
    assert (await client.post(PATH, json={"port": 4000})).status_code == 503
    assert (await client.get(PATH)).json() == {"previews": []}
