"""A fake control plane: serves the built UI and speaks the API and the feed from a scripted log.

It exists so that the UI can be driven into states that a real server reaches only by bad luck: a
connection that drops mid-replay, a superseded viewer, a runner that goes away. What it says follows
docs/protocols/feed.md; the newcomer's walk against the real server is in other tests.
"""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from earthshine.control.ui.pages import policy
from tests.e2e.fake_problems import problem
from tests.e2e.fake_session import FakeFeed, FakeSession, Record, iso
from tests.e2e.fake_trust import FakeTrust
from tests.e2e.fake_ways import FakeWays

UI = Path(__file__).parents[2] / "src/earthshine/control/ui/dist"
POLICY = policy("")
CODE = "moonrise-0001"
COOKIE = "earthshine"


class FakeControlPlane:
    """Runs in a thread of its own; every method may be called from the test's thread."""

    def __init__(self, port: int = 0) -> None:
        self.me: dict[str, Any] = {
            "personId": "p1",
            "name": "mira",
            "role": "admin",
            "isAdmin": True,
            "version": "0.1.0",
            "previewEnabled": True,
            "hasCredentials": True,
            "sharedSessionId": None,
        }
        self.trust = FakeTrust(self)
        self.ways = FakeWays(self)
        self.sessions: dict[str, FakeSession] = {}
        self.runners: dict[str, dict[str, Any]] = {}
        self.folders: dict[str, list[dict[str, Any]]] = {}
        self.signed_in = False
        self.role = "owner"
        """What whoever watches is to the session."""
        self.refuse_feeds: int | None = None
        """Close code for new feeds; `None` lets them in."""
        self.replay_pause = 0.0
        """Seconds between messages of a replay, to see its progress."""
        self.connections: list[int] = []
        """The cursor of every feed that connected, in order."""
        self.previews: list[dict[str, Any]] = []
        self.signed_out = threading.Event()
        self._updates: set[asyncio.Queue[dict[str, Any] | None]] = set()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen()  # a browser that is faster than the server waits in the queue
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._ready = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator["FakeControlPlane"]:
        server = uvicorn.Server(
            uvicorn.Config(
                self._app(),
                log_level="warning",
                ws="websockets-sansio",
                lifespan="on",
                timeout_graceful_shutdown=3,
            )
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [self._socket]})
        thread.start()
        assert self._ready.wait(10)
        try:
            yield self
        finally:
            self._call(self._close_all)
            server.should_exit = True
            thread.join(10)
            self._socket.close()

    def _close_all(self) -> None:
        for queue in self._updates:
            queue.put_nowait(None)
        for session in self.sessions.values():
            for feed in session.feeds:
                feed.close_with = 1001
                feed.changed.set()

    def _call(self, change: Callable[[], None]) -> None:
        done = threading.Event()

        def run() -> None:
            change()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(10)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the server's loop."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    # What tests do to it.

    def add_session(self, session_id: str, **view: Any) -> FakeSession:
        now = time.time()
        session = FakeSession(
            {
                "id": session_id,
                "title": "",
                "agent": "shell",
                "command": [],
                "prompt": "",
                "runnerId": "r1",
                "runnerName": "workshop",
                "runnerConnected": True,
                "ownerId": "p1",
                "ownerName": "mira",
                "folder": "/home/mira",
                "worktree": None,
                "state": "running",
                "reason": None,
                "exitCode": None,
                "signal": None,
                "cols": 100,
                "rows": 30,
                "lastSeq": 0,
                "logBytes": 0,
                "createdAt": iso(now),
                "startedAt": iso(now),
                "endedAt": None,
                "lastOutputAt": None,
            }
            | view
        )
        self.sessions[session_id] = session
        return session

    def add_runner(self, runner_id: str, **view: Any) -> None:
        self.runners[runner_id] = {
            "id": runner_id,
            "name": runner_id,
            "state": "connected",
            "since": iso(time.time()),
            "hostname": runner_id,
            "platform": "Linux x86_64",
            "version": "0.1.0",
            "home": "/home/mira",
            "agents": [],
            "runningSessions": 0,
            "ownerId": "p1",
            "ownerName": "mira",
            "shared": False,
            "credential": "device",
            "fingerprint": "7C1E-9B40-D2AA-53F8",
            "pairedAt": iso(time.time() - 9 * 86400),
            "address": "192.168.1.20",
            "revoked": False,
            "revokedReason": None,
        } | view

    def append(self, session: FakeSession, kind: str, data: bytes | dict[str, Any]) -> None:
        """Add an event to the log, before the server runs or from the test's thread."""
        raw = data if isinstance(data, bytes) else json.dumps(data).encode()

        def change() -> None:
            now = time.time()
            seq = session.view["lastSeq"] + 1
            if isinstance(data, dict) and kind == "gap":
                seq = data["lastSeq"]
            session.log.append(Record(seq, int(now * 1000), kind, raw))
            session.view["lastSeq"] = seq
            session.view["logBytes"] += len(raw)
            if kind == "output":
                session.view["lastOutputAt"] = iso(now)
            for feed in session.feeds:
                feed.changed.set()

        if self._ready.is_set():
            self._call(change)
        else:
            change()

    def update(self, session: FakeSession, **view: Any) -> None:
        def change() -> None:
            session.view.update(view)
            self._tell({"type": "session", "session": dict(session.view)})
            for feed in session.feeds:
                feed.outbox.append({"type": "session", "session": dict(session.view)})
                feed.changed.set()

        self._call(change)

    def close_feeds(self, session: FakeSession, code: int) -> None:
        def change() -> None:
            for feed in session.feeds:
                feed.close_with = code
                feed.changed.set()

        self._call(change)

    def change_role(self, session: FakeSession, role: str) -> None:
        """While somebody watches: given more or less."""

        def change() -> None:
            self.role = role
            for feed in session.feeds:
                feed.outbox.append({"type": "role", **self._role()})
                feed.changed.set()

        self._call(change)

    def tell_runner(self, runner_id: str, **view: Any) -> None:
        """A runner as it is now, to everybody."""

        def change() -> None:
            self.runners.setdefault(runner_id, {}).update(view)
            self._tell({"type": "runner", "runner": dict(self.runners[runner_id])})

        self._call(change)

    def lead(self, session: FakeSession, leader: FakeFeed | None, name: str | None = None) -> None:
        self._call(lambda: self._lead(session, leader, name))

    # What browsers see.

    def _app(self) -> Starlette:
        @contextlib.asynccontextmanager
        async def lifespan(_app: Starlette) -> AsyncIterator[None]:
            self._loop = asyncio.get_running_loop()
            self._ready.set()
            yield

        api = "/api/v1"
        one = f"{api}/sessions/{{id}}"
        return Starlette(
            lifespan=lifespan,
            routes=[
                *self.trust.routes(),
                *self.ways.routes(),
                Route(f"{api}/sign-in", self._sign_in, methods=["POST"]),
                Route(f"{api}/me", self._me),
                Route(f"{api}/sign-out", self._sign_out, methods=["POST"]),
                Route(f"{api}/sign-in-codes", self._codes, methods=["POST"]),
                Route(f"{api}/runners/{{id}}/folders", self._folders),
                Route(f"{api}/sessions", self._list, methods=["GET"]),
                Route(f"{api}/sessions", self._start, methods=["POST"]),
                Route(one, self._session, methods=["GET", "PATCH", "DELETE"]),
                Route(f"{one}/previews", self._previews, methods=["GET", "POST"]),
                Route(f"{one}/{{action:str}}", self._steer, methods=["POST"]),
                WebSocketRoute(f"{one}/feed", self._feed),
                WebSocketRoute(f"{api}/updates", self._watch),
                Route("/{path:path}", self._page),
            ],
        )

    async def _page(self, request: Request) -> Response:
        file = UI / request.path_params["path"]
        if not file.is_file():
            file = UI / "index.html"
        return FileResponse(file, headers={"content-security-policy": POLICY})

    async def _sign_in(self, request: Request) -> Response:
        if (await request.json())["code"] != CODE:
            return problem(
                401,
                "sign-in-code-invalid",
                "That sign-in link does not work any more.",
                "Run `earthshine up` again, or make a link under Settings.",
            )
        return self.welcome(self.me)

    def welcome(self, answer: dict[str, Any]) -> Response:
        """Sign the browser in."""
        self.signed_in = True
        response = JSONResponse(answer)
        response.set_cookie(COOKIE, "yes", httponly=True, samesite="strict")
        return response

    def unknown(self, request: Request | WebSocket) -> bool:
        return not self.signed_in or request.cookies.get(COOKIE) != "yes"

    async def _me(self, request: Request) -> Response:
        if self.unknown(request):
            return problem(401, "signed-out", "You are not signed in.", "Open the sign-in link.")
        return JSONResponse(self.me)

    async def _sign_out(self, _request: Request) -> Response:
        self.signed_in = False
        self.signed_out.set()
        return Response(status_code=204)

    async def _codes(self, _request: Request) -> Response:
        return JSONResponse({"url": f"{self.url}/#sign-in={CODE}", "expiresIn": 300})

    async def _folders(self, request: Request) -> Response:
        path = request.query_params.get("path") or "/home/mira"
        if path not in self.folders:
            return problem(
                404,
                "folder-missing",
                f"There is no folder {path} on this machine.",
                "Choose another.",
            )
        parent = str(Path(path).parent) if path != "/" else None
        return JSONResponse(
            {"path": path, "parent": parent, "folders": self.folders[path], "truncated": False}
        )

    async def _list(self, request: Request) -> Response:
        ended = {"exited", "failed"}
        wanted = request.query_params.get("state", "all")
        views = [
            s.view
            for s in self.sessions.values()
            if wanted == "all" or (s.view["state"] in ended) == (wanted == "ended")
        ]
        return JSONResponse({"sessions": views, "nextCursor": None})

    async def _start(self, request: Request) -> Response:
        assert request.headers["content-type"] == "application/json"
        body = await request.json()
        if (body.get("folder") or "").startswith("/missing"):
            return problem(
                422,
                "folder-missing",
                f"The folder {body['folder']} does not exist on workshop.",
                "Choose an existing folder.",
            )
        session_id = f"s{len(self.sessions) + 1}"
        tree = body.get("worktree")
        session = self.add_session(
            session_id,
            agent=body["agent"],
            title=body["title"] or body["prompt"][:60],
            prompt=body["prompt"],
            folder=body.get("folder") or "/home/mira",
            cols=body["cols"],
            rows=body["rows"],
            worktree=tree
            and {"repository": tree["repository"], "branch": tree["branch"] or session_id},
        )
        self.started = body
        started = {
            "agent": body["agent"],
            "argv": ["sh"],
            "pid": 1,
            "folder": session.view["folder"],
            "cols": body["cols"],
            "rows": body["rows"],
        }
        session.log.append(
            Record(1, int(time.time() * 1000), "started", json.dumps(started).encode())
        )
        session.log.append(
            Record(2, int(time.time() * 1000), "output", b"\x1b[32mmira@workshop\x1b[0m:~$ ")
        )
        session.view.update(lastSeq=2, logBytes=26)
        self._tell({"type": "session", "session": dict(session.view)})
        return JSONResponse(session.view, status_code=201)

    async def _session(self, request: Request) -> Response:
        session = self.sessions[request.path_params["id"]]
        if request.method == "DELETE":
            del self.sessions[session.view["id"]]
            self._tell({"type": "session-removed", "id": session.view["id"]})
            return Response(status_code=204)
        if request.method == "PATCH":
            session.view["title"] = (await request.json())["title"]
        return JSONResponse(session.view)

    async def _previews(self, request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse({"previews": self.previews})
        port = (await request.json())["port"]
        preview = {
            "id": f"v{port}",
            "port": port,
            "url": self.url,
            "expiresAt": iso(time.time() + 3600),
        }
        self.previews.append(preview)
        return JSONResponse(preview | {"ticket": "one-time"}, status_code=201)

    async def _steer(self, request: Request) -> Response:
        session = self.sessions[request.path_params["id"]]
        action = request.path_params["action"]
        command = (await request.json())["commandId"]
        session.commands[command] = session.commands.get(command, 0) + 1
        if action in {"stop", "kill"}:
            session.view["state"] = "stopping" if action == "stop" else "exited"
            session.view["signal"] = 9 if action == "kill" else None
            message = {"type": "session", "session": dict(session.view)}
            self._tell(message)
            for feed in session.feeds:
                feed.outbox.append(message)
                feed.changed.set()
        return JSONResponse({"status": "accepted", "commandId": command}, status_code=202)

    # The updates.

    def _tell(self, message: dict[str, Any]) -> None:
        for queue in self._updates:
            queue.put_nowait(message)

    async def _watch(self, websocket: WebSocket) -> None:
        await websocket.accept(subprotocol="earthshine.updates.v1")
        if self.unknown(websocket):
            await websocket.close(4001)
            return
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._updates.add(queue)
        try:
            await websocket.send_json(
                {
                    "type": "snapshot",
                    "sessions": [s.view for s in self.sessions.values()],
                    "runners": list(self.runners.values()),
                }
            )
            while (message := await queue.get()) is not None:
                await websocket.send_json(message)
            await websocket.close(1001)
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            self._updates.discard(queue)

    # The feed.

    def _role(self) -> dict[str, Any]:
        return {"role": self.role, "canControl": self.role in {"owner", "controller"}}

    def _lead(self, session: FakeSession, leader: FakeFeed | None, name: str | None = None) -> None:
        session.leader = leader
        for feed in session.feeds:
            feed.outbox.append(
                {"type": "lead", "you": feed is leader, "name": name if leader is None else "mira"}
            )
            feed.changed.set()

    async def _feed(self, websocket: WebSocket) -> None:
        await websocket.accept(subprotocol="earthshine.feed.v1")
        session = self.sessions.get(websocket.path_params["id"])
        refusal = self.refuse_feeds or (
            4001 if self.unknown(websocket) else None if session else 4004
        )
        if refusal or session is None:
            await websocket.close(refusal or 4004)
            return
        query = websocket.query_params
        feed = FakeFeed(websocket, int(query["after"]), int(query["window"]))
        self.connections.append(feed.cursor)
        if feed.cursor > session.view["lastSeq"]:
            await websocket.close(4010)
            return
        session.feeds.add(feed)
        first = session.log[0].seq if session.log else 1
        feed.outbox += [
            {
                "type": "hello",
                "session": dict(session.view),
                "firstSeq": first,
                "lastSeq": session.view["lastSeq"],
                **self._role(),
            },
            {"type": "lead", "you": False, "name": None},
        ]
        feed.acked = feed.cursor
        reader = asyncio.ensure_future(self._read(session, feed))
        try:
            await self._send(session, feed, session.view["lastSeq"])
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            reader.cancel()
            session.feeds.discard(feed)
            if session.leader is feed:
                self._lead(session, None)

    async def _send(self, session: FakeSession, feed: FakeFeed, live_at: int) -> None:
        while True:
            feed.changed.clear()
            while feed.outbox:
                await feed.socket.send_json(feed.outbox.pop(0))
            under_way = sum(len(r.data) for r in session.log if feed.acked < r.seq <= feed.cursor)
            batch = b""
            for record in session.log:
                if (
                    record.seq > feed.cursor
                    and under_way + len(batch) < feed.window
                    and len(batch) < 65536
                ):
                    batch += record.packed()
                    feed.cursor = record.seq
            if batch:
                await feed.socket.send_bytes(batch)
                await asyncio.sleep(0 if feed.live else self.replay_pause)
            if not feed.live and feed.cursor >= live_at:
                feed.live = True
                await feed.socket.send_json({"type": "live", "seq": feed.cursor})
            if feed.close_with is not None:
                await feed.socket.close(feed.close_with)
                return
            if not batch and not feed.outbox:
                await feed.changed.wait()

    async def _read(self, session: FakeSession, feed: FakeFeed) -> None:
        while True:
            message = await feed.socket.receive()
            if message["type"] == "websocket.disconnect":
                feed.close_with = feed.close_with or 1000
                feed.changed.set()
                return
            if (data := message.get("bytes")) is not None:
                session.typed += data
                if session.leader is not feed:
                    self._lead(session, feed)
                session.on_typed(session, data)
                continue
            said = json.loads(message["text"])
            match said["type"]:
                case "ping":
                    feed.outbox.append({"type": "pong", "ts": said["ts"]})
                case "ack":
                    feed.acked = max(feed.acked, said["seq"])
                case "lead":
                    self._lead(session, feed)
                case "resize":
                    session.sizes.append((said["cols"], said["rows"]))
                    if session.leader is feed:
                        self._resize(session, said["cols"], said["rows"])
                case "prompt" | "interrupt":
                    self._command(session, feed, said)
            feed.changed.set()

    def _resize(self, session: FakeSession, cols: int, rows: int) -> None:
        if (session.view["cols"], session.view["rows"]) != (cols, rows):
            session.view.update(cols=cols, rows=rows)
            self._note(session, "resized", {"cols": cols, "rows": rows})
            if redrawn := session.on_resized(session):
                self._note(session, "output", redrawn)

    def _command(self, session: FakeSession, feed: FakeFeed, said: dict[str, Any]) -> None:
        command = said["commandId"]
        seen = session.commands.get(command, 0)
        session.commands[command] = seen + 1
        feed.outbox.append({"type": "accepted", "commandId": command})
        if seen:
            return
        by = {"by": "mira", "commandId": command}
        if said["type"] == "prompt":
            session.prompts.append(said["text"])
            self._note(session, "prompted", {"text": said["text"], **by})
        else:
            self._note(session, "interrupted", by)

    def _note(self, session: FakeSession, kind: str, data: bytes | dict[str, Any]) -> None:
        seq = session.view["lastSeq"] + 1
        raw = data if isinstance(data, bytes) else json.dumps(data).encode()
        session.log.append(Record(seq, int(time.time() * 1000), kind, raw))
        session.view["lastSeq"] = seq
        for feed in session.feeds:
            feed.changed.set()
