"""The fake control plane's part about trust: people, sign-ins, machines, sharing, the audit log.

It keeps what the UI tells it and answers in the API's words; it checks nothing that the real server
is tested for elsewhere.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.e2e.fake_problems import problem
from tests.e2e.fake_session import iso

if TYPE_CHECKING:
    from tests.e2e.fake_control_plane import FakeControlPlane

Handler = Callable[[Request], Awaitable[Response]]
PASSWORD = "correct horse battery"
SHARE_CODE = "guest-0001"
PAIRING_CODE = "K7WQ-3M9D-XT4B"
FINGERPRINT = "KTPT-MT9B-SXTW-C895"
QR = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4">'
    "<script>window.parent.hacked = 1</script>"
    '<path d="M0 0h2v2h-2zM3 3h1v1h-1z"/></svg>'
)
DAY = 86400


def _gone() -> Response:
    return Response(status_code=204)


class FakeTrust:
    """State that tests may set before or while the UI looks at it."""

    def __init__(self, plane: FakeControlPlane) -> None:
        self._plane = plane
        now = time.time()
        self.options: dict[str, Any] = {"password": True, "passkeys": False, "oidc": None}
        self.wants_passkey = False
        """After the password."""
        self.refusal: Response | None = None
        """The answer to the next attempt to sign in."""
        self.account: dict[str, Any] = {
            "name": "mira",
            "role": "admin",
            "hasPassword": True,
            "secondFactor": False,
            "passkeys": [],
            "oidc": None,
        }
        self.sign_ins = [
            self.sign_in("a1", "browser", current=True, seen=now),
            self.sign_in(
                "a2",
                "browser",
                agent="Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
                "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
                address="2001:db8::7",
                seen=now - 3 * 3600,
            ),
            self.sign_in("a3", "device", name="earthshine on atlas", seen=now - 2 * DAY),
        ]
        self.tokens: list[dict[str, Any]] = []
        self.secrets: dict[str, list[dict[str, Any]]] = {"me": []}
        self.secret_values: dict[tuple[str, str], str] = {}
        self.secrets_available = True
        self.device: dict[str, Any] | None = {
            "userCode": "BCDF-GHJK",
            "clientName": "earthshine on atlas",
            "scopes": ["read", "control"],
            "address": "192.168.1.31",
            "expiresAt": iso(now + 600),
        }
        self.device_answer: bool | None = None
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

    def sign_in(
        self,
        sign_in_id: str,
        kind: str,
        name: str = "",
        agent: str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        address: str = "192.168.1.12",
        seen: float = 0,
        *,
        current: bool = False,
    ) -> dict[str, Any]:
        return {
            "id": sign_in_id,
            "kind": kind,
            "name": name,
            "address": address,
            "userAgent": agent,
            "createdAt": iso(seen - DAY),
            "lastSeenAt": iso(seen),
            "expiresAt": iso(seen + 30 * DAY),
            "current": current,
        }

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
        me = f"{api}/me"
        one = f"{api}/sessions/{{id}}"
        secret = "secrets/{name:str}"
        table: list[tuple[str, str, Handler]] = [
            ("GET", f"{api}/sign-in", self._options),
            ("POST", f"{api}/sign-in/password", self._password),
            ("POST", f"{api}/sign-in/passkey/options", self._challenge),
            ("POST", f"{api}/sign-in/passkey", self._passkey),
            ("PATCH", me, self._rename),
            ("GET", f"{me}/account", self._account),
            ("PUT", f"{me}/password", self._set_password),
            ("DELETE", f"{me}/password", self._set_password),
            ("PUT", f"{me}/second-factor", self._second_factor),
            ("POST", f"{me}/passkeys/options", self._new_passkey),
            ("POST", f"{me}/passkeys", self._add_passkey),
            ("DELETE", f"{me}/passkeys/{{id}}", self._remove_passkey),
            ("GET", f"{me}/sign-ins", self._list_sign_ins),
            ("DELETE", f"{me}/sign-ins", self._end_others),
            ("DELETE", f"{me}/sign-ins/{{id}}", self._end_sign_in),
            ("GET", f"{me}/tokens", self._list_tokens),
            ("POST", f"{me}/tokens", self._make_token),
            ("DELETE", f"{me}/tokens/{{id}}", self._end_token),
            ("GET", f"{me}/secrets", self._list_secrets),
            ("PUT", f"{me}/{secret}", self._put_secret),
            ("DELETE", f"{me}/{secret}", self._remove_secret),
            ("GET", f"{api}/device-flow/{{code}}", self._device_request),
            ("POST", f"{api}/device-flow/{{code}}", self._answer_device),
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
            ("GET", f"{api}/runners/{{id}}/secrets", self._list_secrets),
            ("PUT", f"{api}/runners/{{id}}/{secret}", self._put_secret),
            ("DELETE", f"{api}/runners/{{id}}/{secret}", self._remove_secret),
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

    # Signing in.

    async def _options(self, _: Request) -> Response:
        return JSONResponse(self.options)

    async def _password(self, request: Request) -> Response:
        if self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            return refusal
        if (await request.json())["password"] != PASSWORD:
            return problem(
                401,
                "sign-in-refused",
                "The name or the password is wrong.",
                "Try again, or use another way to sign in.",
            )
        if self.wants_passkey:
            return JSONResponse({"me": None, "passkey": self._request_options()})
        return self._plane.welcome({"me": self._plane.me, "passkey": None})

    def _request_options(self) -> dict[str, Any]:
        options = {
            "challenge": secrets.token_urlsafe(32),
            "rpId": "localhost",
            "timeout": 60_000,
            "userVerification": "preferred",
            "allowCredentials": [],
        }
        return {"id": secrets.token_hex(8), "options": options}

    async def _challenge(self, _: Request) -> Response:
        return JSONResponse(self._request_options())

    async def _passkey(self, request: Request) -> Response:
        self.presented = await request.json()
        return self._plane.welcome(self._plane.me)

    # One's own account.

    async def _rename(self, request: Request) -> Response:
        self._plane.me["name"] = self.account["name"] = (await request.json())["name"]
        return JSONResponse(self._plane.me)

    async def _account(self, _: Request) -> Response:
        return JSONResponse(self.account)

    async def _set_password(self, request: Request) -> Response:
        if request.method == "PUT":
            body = await request.json()
            if self.account["hasPassword"] and body["current"] != PASSWORD:
                return problem(
                    403, "password-wrong", "The current password is wrong.", "Type it again."
                )
        self.account["hasPassword"] = request.method == "PUT"
        self._credentials_changed()
        return _gone()

    def _credentials_changed(self) -> None:
        self._plane.me["hasCredentials"] = bool(
            self.account["hasPassword"] or self.account["passkeys"]
        )

    async def _second_factor(self, request: Request) -> Response:
        self.account["secondFactor"] = (await request.json())["required"]
        return _gone()

    async def _new_passkey(self, _: Request) -> Response:
        options = {
            "rp": {"id": "localhost", "name": "Earthshine"},
            "user": {"id": "cDE", "name": "mira", "displayName": "mira"},
            "challenge": secrets.token_urlsafe(32),
            "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
            "timeout": 60_000,
            "excludeCredentials": [],
            "authenticatorSelection": {"residentKey": "required", "userVerification": "preferred"},
            "attestation": "none",
        }
        return JSONResponse({"id": secrets.token_hex(8), "options": options})

    async def _add_passkey(self, request: Request) -> Response:
        body = await request.json()
        assert body["credential"]["response"]["attestationObject"]
        passkey = {
            "id": f"k{len(self.account['passkeys']) + 1}",
            "name": body["name"],
            "createdAt": iso(time.time()),
            "lastUsedAt": None,
        }
        self.account["passkeys"].append(passkey)
        self._credentials_changed()
        return JSONResponse(passkey, status_code=201)

    async def _remove_passkey(self, request: Request) -> Response:
        _take(self.account["passkeys"], request.path_params["id"])
        self._credentials_changed()
        return _gone()

    async def _list_sign_ins(self, _: Request) -> Response:
        return JSONResponse({"signIns": self.sign_ins})

    async def _end_others(self, _: Request) -> Response:
        self.sign_ins = [sign_in for sign_in in self.sign_ins if sign_in["current"]]
        return _gone()

    async def _end_sign_in(self, request: Request) -> Response:
        _take(self.sign_ins, request.path_params["id"])
        return _gone()

    async def _list_tokens(self, _: Request) -> Response:
        return JSONResponse({"tokens": self.tokens})

    async def _make_token(self, request: Request) -> Response:
        body = await request.json()
        info = {
            "id": f"t{len(self.tokens) + 1}",
            "name": body["name"],
            "scopes": body["scopes"],
            "createdAt": iso(time.time()),
            "lastSeenAt": iso(time.time()),
            "expiresAt": iso(time.time() + body["expiresInDays"] * DAY),
        }
        self.tokens.append(info)
        return JSONResponse({"token": "est_shown-only-once", "info": info}, status_code=201)

    async def _end_token(self, request: Request) -> Response:
        _take(self.tokens, request.path_params["id"])
        return _gone()

    # Secrets, of a person or a runner.

    def _secrets_of(self, request: Request) -> list[dict[str, Any]]:
        return self.secrets.setdefault(request.path_params.get("id", "me"), [])

    async def _list_secrets(self, request: Request) -> Response:
        detail = None if self.secrets_available else "No key is set. Run `earthshine keys make`."
        return JSONResponse(
            {
                "secrets": self._secrets_of(request),
                "available": self.secrets_available,
                "detail": detail,
            }
        )

    async def _put_secret(self, request: Request) -> Response:
        name, owner = request.path_params["name"], request.path_params.get("id", "me")
        kept = [secret for secret in self._secrets_of(request) if secret["name"] != name]
        view = {
            "name": name,
            "createdAt": iso(time.time()),
            "lastUsedAt": None,
            "runnerId": None if owner == "me" else owner,
        }
        self.secrets[owner] = [*kept, view]
        self.secret_values[owner, name] = (await request.json())["value"]
        return JSONResponse(view)

    async def _remove_secret(self, request: Request) -> Response:
        owner = request.path_params.get("id", "me")
        name = request.path_params["name"]
        self.secrets[owner] = [s for s in self.secrets[owner] if s["name"] != name]
        return _gone()

    # The device flow.

    async def _device_request(self, request: Request) -> Response:
        if self.device is None or request.path_params["code"] != self.device["userCode"]:
            return problem(
                404,
                "not-found",
                "No command line waits with this code.",
                "Compare it with what the command line shows; codes work for ten minutes.",
            )
        return JSONResponse(self.device)

    async def _answer_device(self, request: Request) -> Response:
        self.device_answer = (await request.json())["approve"]
        return _gone()

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
        person = _find(self.people, request.path_params["id"])
        person.update(
            {name: value for name, value in (await request.json()).items() if value is not None}
        )
        return JSONResponse(person)

    async def _remove_person(self, request: Request) -> Response:
        _take(self.people, request.path_params["id"])
        return _gone()

    async def _person_link(self, _: Request) -> Response:
        return JSONResponse(self._link(), status_code=201)

    async def _end_persons_sign_ins(self, _: Request) -> Response:
        return _gone()

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
        return _gone()

    # Sharing.

    async def _list_shares(self, _: Request) -> Response:
        return JSONResponse(self.shares)

    async def _share(self, request: Request) -> Response:
        body = await request.json()
        person = _find(self.people, request.path_params["person"])
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
        return _gone()

    async def _unshare(self, request: Request) -> Response:
        person = request.path_params["person"]
        self.shares["people"] = [p for p in self.shares["people"] if p["personId"] != person]
        return _gone()

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
        _take(self.shares["links"], request.path_params["link"])
        return _gone()

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


def _find(things: list[dict[str, Any]], thing_id: str) -> dict[str, Any]:
    return next(thing for thing in things if thing["id"] == thing_id)


def _take(things: list[dict[str, Any]], thing_id: str) -> None:
    things.remove(_find(things, thing_id))
