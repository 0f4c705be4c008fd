"""The fake control plane's part about trust: people, sign-ins, machines, sharing, the audit log.

It keeps what the UI tells it and answers in the API's words; it checks nothing that the real server
is tested for elsewhere.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.e2e.fake_account import DAY, FakeAccount, Handler, find, gone, take
from tests.e2e.fake_problems import problem
from tests.e2e.fake_session import iso

if TYPE_CHECKING:
    from tests.e2e.fake_control_plane import FakeControlPlane

SHARE_CODE = "guest-0001"
PAIRING_CODE = "K7WQ-3M9D-XT4B"
FINGERPRINT = "KTPT-MT9B-SXTW-C895"
QR = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4">'
    "<script>window.parent.hacked = 1</script>"
    '<path d="M0 0h2v2h-2zM3 3h1v1h-1z"/></svg>'
)


class FakeTrust(FakeAccount):
    """State that tests may set before or while the UI looks at it."""

    def __init__(self, plane: FakeControlPlane) -> None:
        super().__init__(plane)
        now = time.time()
        self.people = [
            self.person("p1", "mira", "admin", seen=now, hasPassword=True, passkeys=2),
            self.person("p2", "tomasz", "member", seen=now - 5 * 3600, passkeys=1, oidc=True),
            self.person("p3", "Ada Kovács", "member", seen=None),
        ]
        self.pairing: dict[str, Any] | None = None
        self.confirmed: str | None = None
        self.shares: dict[str, Any] = {"ownerName": "mira", "people": [], "links": []}
        self.records: list[dict[str, Any]] = []
        self.verification: dict[str, Any] = {
            "ok": True,
            "records": 1284,
            "head": {"seq": 1284, "hash": "9d" * 32},
            "problems": [],
        }

    # What tests make.

    def person(
        self, person_id: str, name: str, role: str, seen: float | None, **view: Any
    ) -> dict[str, Any]:
        return {
            "id": person_id,
            "name": name,
            "role": role,
            "disabled": False,
            "createdAt": iso(time.time() - 40 * DAY),
            "lastSeenAt": None if seen is None else iso(seen),
            "hasPassword": False,
            "passkeys": 0,
            "oidc": False,
        } | view

    def record(self, kind: str, subject: str = "", **view: Any) -> None:
        """Add to the audit log; the newest comes last."""
        seq = len(self.records) + 1
        self.records.append(
            {
                "seq": seq,
                "at": iso(time.time()),
                "kind": kind,
                "personId": "p1",
                "personName": "mira",
                "address": "192.168.1.12",
                "subject": subject,
                "sessionId": None,
                "runnerId": None,
                "details": {},
                "previous": f"{seq - 1:064x}",
                "hash": f"{seq:064x}",
            }
            | view
        )

    def present(self, **machine: str) -> None:
        """A machine uses the pairing code."""
        assert self.pairing is not None
        self.pairing["machine"] = {
            "name": "big-machine",
            "hostname": "big-machine.lan",
            "platform": "Debian 13 x86_64",
            "address": "203.0.113.9",
            "fingerprint": FINGERPRINT,
        } | machine
        self.pairing["state"] = "presented"

    # What browsers ask for.

    def routes(self) -> list[Route]:
        api = "/api/v1"
        one = f"{api}/sessions/{{id}}"
        table: list[tuple[str, str, Handler]] = [
            *self.account_routes(),
            ("GET", f"{api}/people", self._list_people),
            ("POST", f"{api}/people", self._add_person),
            ("GET", f"{api}/people/names", self._names),
            ("PATCH", f"{api}/people/{{id}}", self._change_person),
            ("DELETE", f"{api}/people/{{id}}", self._remove_person),
            ("POST", f"{api}/people/{{id}}/sign-in-code", self._person_link),
            ("DELETE", f"{api}/people/{{id}}/sign-ins", self._end_persons_sign_ins),
            ("POST", f"{api}/pairings", self._start_pairing),
            ("GET", f"{api}/pairings", self._list_pairings),
            ("GET", f"{api}/pairings/{{id}}", self._get_pairing),
            ("POST", f"{api}/pairings/{{id}}/confirm", self._confirm),
            ("POST", f"{api}/pairings/{{id}}/refuse", self._refuse),
            ("PATCH", f"{api}/runners/{{id}}", self._change_runner),
            ("POST", f"{api}/runners/{{id}}/revoke", self._revoke),
            ("DELETE", f"{api}/runners/{{id}}", self._remove_runner),
            ("GET", f"{one}/shares", self._list_shares),
            ("PUT", f"{one}/shares/{{person}}", self._share),
            ("DELETE", f"{one}/shares/{{person}}", self._unshare),
            ("POST", f"{one}/links", self._make_link),
            ("DELETE", f"{one}/links/{{link}}", self._end_link),
            ("POST", f"{api}/follow-link", self._follow),
            ("GET", f"{api}/audit", self._audit),
            ("GET", f"{one}/audit", self._audit),
            ("GET", f"{api}/audit/verification", self._verify),
            ("GET", f"{api}/audit/export", self._export),
        ]
        return [Route(path, handler, methods=[method]) for method, path, handler in table]

    # People.

    async def _list_people(self, _: Request) -> Response:
        return JSONResponse({"people": self.people})

    async def _names(self, _: Request) -> Response:
        people = [{"id": one["id"], "name": one["name"]} for one in self.people]
        return JSONResponse({"people": people})

    def _link(self) -> dict[str, Any]:
        return {"url": f"{self._plane.url}/#sign-in=for-somebody-else", "expiresIn": 3600}

    async def _add_person(self, request: Request) -> Response:
        body = await request.json()
        if any(one["name"] == body["name"] for one in self.people):
            return problem(
                409, "conflict", f"Somebody is called {body['name']} already.", "Add a surname."
            )
        person = self.person(f"p{len(self.people) + 1}", body["name"], body["role"], None)
        self.people.append(person)
        return JSONResponse({"person": person, "link": self._link()}, status_code=201)

    async def _change_person(self, request: Request) -> Response:
        person = find(self.people, request.path_params["id"])
        person.update(
            {name: value for name, value in (await request.json()).items() if value is not None}
        )
        return JSONResponse(person)

    async def _remove_person(self, request: Request) -> Response:
        take(self.people, request.path_params["id"])
        return gone()

    async def _person_link(self, _: Request) -> Response:
        return JSONResponse(self._link(), status_code=201)

    async def _end_persons_sign_ins(self, _: Request) -> Response:
        return gone()

    # Machines.

    async def _start_pairing(self, request: Request) -> Response:
        self.pairing = {
            "id": "pair1",
            "state": "waiting",
            "shared": (await request.json())["shared"],
            "expiresAt": iso(time.time() + 300),
            "serverFingerprint": None,
            "machine": None,
            "runnerId": None,
            "detail": None,
        }
        once = {
            "code": PAIRING_CODE,
            "command": f"earthshine runner pair {self._plane.url} {PAIRING_CODE}",
            "uri": f"earthshine-pair:{PAIRING_CODE}",
            "qr": QR,
        }
        return JSONResponse(self.pairing | once, status_code=201)

    async def _list_pairings(self, _: Request) -> Response:
        is_open = self.pairing and self.pairing["state"] in {"waiting", "presented", "confirmed"}
        return JSONResponse({"pairings": [self.pairing] if is_open else []})

    async def _get_pairing(self, _: Request) -> Response:
        return JSONResponse(self.pairing)

    async def _confirm(self, request: Request) -> Response:
        assert self.pairing is not None
        self.confirmed = (await request.json())["fingerprint"]
        self.pairing["state"] = "confirmed"
        return JSONResponse(self.pairing)

    async def _refuse(self, _: Request) -> Response:
        assert self.pairing is not None
        self.pairing["state"] = "refused"
        return JSONResponse(self.pairing)

    async def _change_runner(self, request: Request) -> Response:
        runner = self._plane.runners[request.path_params["id"]]
        runner.update(await request.json())
        return JSONResponse(runner)

    async def _revoke(self, request: Request) -> Response:
        runner = self._plane.runners[request.path_params["id"]]
        runner.update(
            state="away", revoked=True, revokedReason="mira revoked it.", runningSessions=0
        )
        return JSONResponse(runner)

    async def _remove_runner(self, request: Request) -> Response:
        del self._plane.runners[request.path_params["id"]]
        return gone()

    # Sharing.

    async def _list_shares(self, _: Request) -> Response:
        return JSONResponse(self.shares)

    async def _share(self, request: Request) -> Response:
        body = await request.json()
        person = find(self.people, request.path_params["person"])
        expires = body.get("expiresIn")
        others = [one for one in self.shares["people"] if one["personId"] != person["id"]]
        shared = {
            "personId": person["id"],
            "name": person["name"],
            "role": body["role"],
            "expiresAt": None if expires is None else iso(time.time() + expires),
            "guest": False,
        }
        self.shares["people"] = [*others, shared]
        return gone()

    async def _unshare(self, request: Request) -> Response:
        person = request.path_params["person"]
        self.shares["people"] = [p for p in self.shares["people"] if p["personId"] != person]
        return gone()

    async def _make_link(self, request: Request) -> Response:
        body = await request.json()
        link = {
            "id": f"l{len(self.shares['links']) + 1}",
            "role": body["role"],
            "expiresAt": iso(time.time() + body["expiresIn"]),
            "uses": 0,
            "createdAt": iso(time.time()),
            "createdBy": "mira",
        }
        self.shares["links"].append(link)
        url = f"{self._plane.url}/#share={SHARE_CODE}"
        return JSONResponse({"id": link["id"], "url": url}, status_code=201)

    async def _end_link(self, request: Request) -> Response:
        take(self.shares["links"], request.path_params["link"])
        return gone()

    async def _follow(self, request: Request) -> Response:
        body = await request.json()
        if body["code"] != SHARE_CODE:
            return problem(
                410,
                "gone",
                "This link has expired or was taken back.",
                "Ask whoever sent it for a new one.",
            )
        session = next(iter(self._plane.sessions))
        if not self._plane.unknown(request):
            return JSONResponse({"sessionId": session, "me": self._plane.me})
        self._plane.me |= {
            "personId": "g1",
            "name": body["name"],
            "role": "guest",
            "isAdmin": False,
            "previewEnabled": False,
            "hasCredentials": False,
            "sharedSessionId": session,
        }
        self._plane.role = "viewer"
        self._plane.runners.clear()
        return self._plane.welcome({"sessionId": session, "me": self._plane.me})

    # The audit log.

    async def _audit(self, request: Request) -> Response:
        query = request.query_params
        session = request.path_params.get("id") or query.get("session")
        before, limit = int(query.get("before", 2**53)), int(query.get("limit", 100))
        found = [
            record
            for record in reversed(self.records)
            if record["seq"] < before
            and (not query.get("kind") or record["kind"] == query["kind"])
            and (not query.get("person") or record["personId"] == query["person"])
            and (not session or record["sessionId"] == session)
        ]
        more = len(found) > limit
        page = found[:limit]
        return JSONResponse({"records": page, "nextBefore": page[-1]["seq"] if more else None})

    async def _verify(self, _: Request) -> Response:
        return JSONResponse(self.verification)

    async def _export(self, _: Request) -> Response:
        return Response("{}\n", media_type="application/x-ndjson")
