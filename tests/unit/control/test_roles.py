"""Every route and socket, asked by everybody, for a session and a runner of their own and not."""

import asyncio
import contextlib

import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from earthshine.control.access import Role
from earthshine.protocols.envelope import (
    Control,
    ListFolders,
    OpenDesktop,
    OpenTransfers,
    SetRecording,
)
from earthshine.protocols.revdial import Dial, DialFailed, DialFault, DialSpares
from tests.unit.control.route_table import (
    DEVICE,
    EXPECTED,
    HTTP,
    IN,
    NOBODY,
    NOT_ALLOWED,
    PEOPLE,
    PLACES,
    RULES,
    RUNNER,
    UNKNOWN,
    body_of,
)
from tests.unit.control.world import Person

API = "/api/v1"
LAST = (
    ("PUT", API + "/me/password"),
    ("POST", API + "/runners/{runner_id}/revoke"),
    ("DELETE", API + "/runners/{runner_id}"),
    ("DELETE", API + "/me/sign-ins"),
    ("POST", API + "/sign-out"),
)
"""What takes something away that the others need."""
STRANGERS = (
    "There is no such session, or it is not yours.",
    "There is no such runner, or it is not yours.",
)


class FakePlaces:
    """Gives previews an address without listening there."""

    async def assign(self, preview_id):
        return f"http://{preview_id}.preview.localhost:7181", 7181


@pytest.fixture
async def scene(here, runner):
    """A session and a private runner of mia's; the session shared in every way."""
    session = await runner.run_session(here.member)
    machine = here.plane.directory.get(runner.runner_id)
    machine.owner_id, machine.shared, machine.is_device = here.member.actor.person_id, False, True
    people = {"owner": here.member, "admin": here.owner, "nobody": None}
    for name in ("viewer", "approver", "controller", "stranger"):
        accounts = here.plane.people
        person_id = await accounts.people._store.add(name, Role.MEMBER)
        people[name] = await here.person(await accounts.service.issue_token(person_id))
        if name != "stranger":
            shared = await here.member.http.put(
                f"{API}/sessions/{session}/shares/{person_id}", json={"role": name}
            )
            assert shared.status_code == 204, shared.text
    made = await here.member.http.post(
        f"{API}/sessions/{session}/links", json={"role": "viewer", "expiresIn": 3600}
    )
    code = made.json()["url"].partition("#share=")[2]
    async with here.anonymous() as client:
        await client.post(f"{API}/follow-link", json={"code": code, "name": "Gus"})
        token = client.cookies["earthshine_sign_in"]
    actor = await here.plane.accounts.authenticate(token)
    people["guest"] = Person(actor, token, here.url)
    app = here.app
    while not isinstance(app, FastAPI):
        app = app._app
    app.state.previews = here.plane.preview_service(FakePlaces())
    answering = asyncio.create_task(answer(runner))
    yield session, people
    answering.cancel()
    await asyncio.wait([answering])
    await people["guest"].http.aclose()


async def answer(runner):
    """A runner that does whatever it is told, except dialling back."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            frame = await runner.hear(Control)
            payload = frame.payload
            if isinstance(payload, Dial):
                failed = DialFailed(payload.dial_id, DialFault.REFUSED, "nothing there")
                await runner.say(Control(payload=failed))
            elif isinstance(payload, OpenDesktop):
                await runner.done(frame, {"viewer": "unix:/run/desktop"})
            elif isinstance(payload, OpenTransfers):
                await runner.done(frame, {"destination": "unix:/run/transfers"})
            elif isinstance(payload, SetRecording):
                await runner.done(frame, {"about": "recording", "on": payload.on})
            elif isinstance(payload, ListFolders):
                folders: dict[str, object] = {
                    "path": "/",
                    "parent": None,
                    "folders": [],
                    "truncated": False,
                }
                await runner.done(frame, folders)
            elif hasattr(payload, "request_id") and not isinstance(payload, DialSpares):
                await runner.done(frame)


async def outcome(client, method, template, session):
    path = template.format(**PLACES | {"session_id": session})
    async with client.stream(method, path, **body_of(method, template)) as answer:
        if answer.status_code < 400:
            return IN, ""
        await answer.aread()
    assert answer.status_code != 500, (method, path, answer.text)
    is_problem = answer.headers["content-type"] == "application/problem+json"
    words = answer.json()["detail"] if is_problem else answer.text
    if answer.status_code in (401, 403):
        return str(answer.status_code), words
    return (UNKNOWN if words in STRANGERS else IN), words


@pytest.mark.parametrize("who", PEOPLE)
async def test_every_route_as(here, scene, who):
    session, people = scene
    column = PEOPLE.index(who)
    wrong = []
    async with contextlib.AsyncExitStack() as stack:
        person = people[who]
        client = person.http if person else await stack.enter_async_context(here.anonymous())
        ordered = [key for key in HTTP if key not in LAST] + list(LAST)
        for method, template in ordered:
            rule = EXPECTED[method, template]
            got, words = await outcome(client, method, template, session)
            if rule == DEVICE:
                refused = got in (NOBODY, NOT_ALLOWED, IN)  # never by who is signed in
                expected = got if refused else "refused"
            else:
                expected = RULES[rule][column]
            if got != expected:
                wrong.append((method, template, f"expected {expected}, got {got}: {words}"))
    assert wrong == []


SOCKETS = [path for kind, path in EXPECTED if kind == "WS" and EXPECTED[kind, path] != RUNNER]
CODES = {4001: NOBODY, 4003: NOT_ALLOWED, 4004: UNKNOWN}


@pytest.mark.parametrize("who", PEOPLE)
async def test_every_socket_as(here, scene, who):
    session, people = scene
    column = PEOPLE.index(who)
    headers = people[who].headers if people[who] else {}
    for template in SOCKETS:
        url = f"ws://127.0.0.1:{here.port}{template.format(**PLACES | {'session_id': session})}"
        got = IN
        async with connect(url, additional_headers=headers, close_timeout=1) as socket:
            try:
                async with asyncio.timeout(10):
                    await socket.recv()
            except ConnectionClosed:
                got = CODES.get(socket.close_code or 0, IN)
        assert got == RULES[EXPECTED["WS", template]][column], (template, who)


@pytest.mark.parametrize("who", [who for who in PEOPLE if who != "nobody"])
async def test_a_persons_sign_in_is_of_no_use_on_a_runners_socket(here, scene, who):
    _, people = scene
    for kind, template in EXPECTED:
        if kind == "WS" and EXPECTED[kind, template] == RUNNER:
            url = f"ws://127.0.0.1:{here.port}{template}"
            headers = people[who].headers | {"Earthshine-Runner": "runner0009"}
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, additional_headers=headers)
            assert refused.value.response.status_code in (400, 401, 403), template
