"""The fake control plane's part about one's own account: signing in, passkeys, tokens, keys."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.e2e.fake_problems import problem
from tests.e2e.fake_session import iso

if TYPE_CHECKING:
    from tests.e2e.fake_control_plane import FakeControlPlane

Handler = Callable[[Request], Awaitable[Response]]
PASSWORD = "correct horse battery"
DAY = 86400


def gone() -> Response:
    return Response(status_code=204)


def find(things: list[dict[str, Any]], thing_id: str) -> dict[str, Any]:
    return next(thing for thing in things if thing["id"] == thing_id)


def take(things: list[dict[str, Any]], thing_id: str) -> None:
    things.remove(find(things, thing_id))


class FakeAccount:
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

    def account_routes(self) -> list[tuple[str, str, Handler]]:
        api = "/api/v1"
        me = f"{api}/me"
        secret = "secrets/{name:str}"
        return [
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
            ("GET", f"{api}/runners/{{id}}/secrets", self._list_secrets),
            ("PUT", f"{api}/runners/{{id}}/{secret}", self._put_secret),
            ("DELETE", f"{api}/runners/{{id}}/{secret}", self._remove_secret),
        ]

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
        return gone()

    def _credentials_changed(self) -> None:
        self._plane.me["hasCredentials"] = bool(
            self.account["hasPassword"] or self.account["passkeys"]
        )

    async def _second_factor(self, request: Request) -> Response:
        self.account["secondFactor"] = (await request.json())["required"]
        return gone()

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
        take(self.account["passkeys"], request.path_params["id"])
        self._credentials_changed()
        return gone()

    async def _list_sign_ins(self, _: Request) -> Response:
        return JSONResponse({"signIns": self.sign_ins})

    async def _end_others(self, _: Request) -> Response:
        self.sign_ins = [sign_in for sign_in in self.sign_ins if sign_in["current"]]
        return gone()

    async def _end_sign_in(self, request: Request) -> Response:
        take(self.sign_ins, request.path_params["id"])
        return gone()

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
        take(self.tokens, request.path_params["id"])
        return gone()

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
        return gone()

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
        return gone()
