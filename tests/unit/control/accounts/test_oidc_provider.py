"""What a provider may say, and what is not believed. The provider is a fake that can lie.

A real one, with its own pages, is in tests/peers/test_oidc.py.
"""

import base64
import hashlib
import hmac
import json
import socket
import time
import urllib.parse

import pytest
from joserfc import jws, jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from earthshine.control.access import Role
from earthshine.control.accounts import oidc_provider
from earthshine.control.accounts.oidc import role_of
from earthshine.control.accounts.oidc_provider import Provider
from earthshine.control.errors import NotAllowedError, ProviderError
from earthshine.control.settings import OidcSettings
from tests.peers.revdial_world import serving
from tests.unit.control.world import in_own_task

CLIENT = "earthshine"
BACK = "https://earth.example/api/v1/sign-in/oidc/callback"
KEY = RSAKey.generate_key(2048, {"kid": "one", "alg": "RS256"})
OTHER = RSAKey.generate_key(2048, {"kid": "two", "alg": "RS256"})


class FakeProvider:
    """Publishes what it is told to, and says what a test makes it say."""

    def __init__(self, issuer):
        self.issuer = issuer
        self.metadata = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/keys",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
        }
        self.keys = [KEY]
        self.claims = {}
        self.signed_by = KEY
        self.header = {"alg": "RS256", "kid": "one"}
        self.id_token = None
        self.token = {}
        self.userinfo = None
        self.asked = []
        self.broken = {}
        """Answers in place of the right ones, by path."""

    def routes(self):
        return [Route("/{path:path}", self.answer, methods=["GET", "POST"])]

    async def answer(self, request):
        path = request.url.path
        self.asked.append(path)
        if path in self.broken:
            return self.broken[path]
        if path == "/.well-known/openid-configuration":
            return JSONResponse(self.metadata)
        if path == "/keys":
            return JSONResponse({"keys": [key.as_dict(private=False) for key in self.keys]})
        if path == "/userinfo":
            assert request.headers["authorization"] == "Bearer access"
            return JSONResponse(self.userinfo)
        assert path == "/token"
        self.form = dict(urllib.parse.parse_qsl((await request.body()).decode()))
        self.authorization = request.headers.get("authorization", "")
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "anna",
            "nonce": "nonce",
            "iat": now,
            "exp": now + 60,
        }
        claims = {k: v for k, v in (claims | self.claims).items() if v is not None}
        id_token = self.id_token or jwt.encode(
            self.header, claims, self.signed_by, algorithms=["RS256", "HS256", "none"]
        )
        token = {"access_token": "access", "token_type": "Bearer", "id_token": id_token}
        return JSONResponse({k: v for k, v in (token | self.token).items() if v is not None})


@pytest.fixture
async def fake():
    sock = socket.create_server(("127.0.0.1", 0))
    fake = FakeProvider(f"http://127.0.0.1:{sock.getsockname()[1]}")
    async with in_own_task(serving(Starlette(routes=fake.routes()), sock=sock)):
        yield fake


def settings(fake, **more):
    return OidcSettings(issuer=fake.issuer, client_id=CLIENT, client_secret="s+cret", **more)


@pytest.fixture
def provider(fake):
    return Provider(settings(fake))


async def claims(provider):
    return await provider.claims(BACK, code="code", nonce="nonce", verifier="v" * 43)


async def test_who_signed_in(fake, provider, no_blocking):
    found = await claims(provider)
    assert found["sub"] == "anna"
    assert fake.form == {
        "grant_type": "authorization_code",
        "code": "code",
        "redirect_uri": BACK,
        "code_verifier": "v" * 43,
    }
    scheme, _, secret = fake.authorization.partition(" ")
    assert scheme == "Basic"
    assert b"earthshine:" in base64.b64decode(secret)


async def test_a_public_client_has_no_secret(fake):
    provider = Provider(OidcSettings(issuer=fake.issuer, client_id=CLIENT))
    await claims(provider)
    assert fake.authorization == ""
    assert fake.form["client_id"] == CLIENT


@pytest.mark.parametrize(
    "lie",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another client"},
        {"aud": ["another", "client"]},
        {"aud": [CLIENT, "another"]},  # and not said which of them it is for
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"aud": None},
        {"azp": "another"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"exp": "soon"},
        {"iat": 9_999_999_999},
        {"nbf": 9_999_999_999},
        {"sub": None},
        {"sub": ""},
        {"sub": 5},
        {"sub": "x" * 256},
        {"sub": "änna"},
        {"at_hash": "wrong"},
    ],
)
async def test_claims_that_are_not_believed(fake, provider, lie):
    fake.claims = lie
    with pytest.raises(ProviderError):
        await claims(provider)


async def test_one_of_several_audiences_is_enough_when_it_is_meant_for_us(fake, provider):
    fake.claims = {"aud": [CLIENT, "another"], "azp": CLIENT}
    assert (await claims(provider))["sub"] == "anna"


async def test_a_key_that_is_not_the_providers(fake, provider):
    fake.signed_by = OTHER
    with pytest.raises(ProviderError):
        await claims(provider)


async def test_a_signature_by_a_secret_that_everybody_knows(fake, provider):
    public = KEY.as_pem(private=False)
    part = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")  # noqa: E731
    now = int(time.time())
    body = {"iss": fake.issuer, "aud": CLIENT, "sub": "anna", "nonce": "nonce"}
    body |= {"iat": now, "exp": now + 60}
    header = part(json.dumps({"alg": "HS256", "kid": "one"}).encode())
    signed = header + b"." + part(json.dumps(body).encode())
    fake.id_token = (signed + b"." + part(hmac.digest(public, signed, hashlib.sha256))).decode()
    with pytest.raises(ProviderError):
        await claims(provider)
    none = part(b'{"alg":"none"}') + b"." + part(json.dumps(body).encode()) + b"."
    fake.id_token = none.decode()
    with pytest.raises(ProviderError):
        await claims(provider)
    # The same claims, signed by the provider's key, are believed.
    fake.id_token = jws.serialize_compact({"alg": "RS256", "kid": "one"}, json.dumps(body), KEY)
    assert (await claims(provider))["sub"] == "anna"


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "e30.e30.", "." * 9000, 5, {"a": 1}, None])
async def test_what_is_no_id_token(fake, provider, text):
    fake.token = {"id_token": text}
    with pytest.raises(ProviderError):
        await claims(provider)


async def test_new_keys_are_looked_for_but_not_at_every_turn(fake, provider, monkeypatch):
    await claims(provider)
    fake.keys, fake.signed_by = [OTHER], OTHER
    fake.header = {"alg": "RS256", "kid": "two"}
    with pytest.raises(ProviderError):
        await claims(provider)
    assert fake.asked.count("/keys") == 1, "asked a moment ago"
    monkeypatch.setattr(oidc_provider, "KEYS_AGAIN", 0.0)
    assert (await claims(provider))["sub"] == "anna"
    assert fake.asked.count("/keys") == 2


async def test_userinfo_tells_more_but_not_of_somebody_else(fake, provider):
    fake.metadata["userinfo_endpoint"] = f"{fake.issuer}/userinfo"
    fake.claims = {"name": "From the ID token"}
    fake.userinfo = {"sub": "anna", "name": "From userinfo", "groups": ["staff"]}
    found = await claims(provider)
    assert (found["groups"], found["name"]) == (["staff"], "From the ID token")
    fake.userinfo = {"sub": "mallory", "groups": ["ops"]}
    with pytest.raises(ProviderError, match="contradicts"):
        await claims(provider)


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys", "/token"])
@pytest.mark.parametrize(
    "answer",
    [
        Response("no", 500),
        Response("not json"),
        JSONResponse([1]),
        JSONResponse({}),
        JSONResponse({"error": "invalid_grant"}, 400),
        Response(status_code=302, headers={"location": "http://127.0.0.1:1/"}),
        Response(b"x" * (2 * 1024 * 1024)),
    ],
)
async def test_answers_that_make_no_sense(fake, provider, path, answer):
    fake.broken[path] = answer
    with pytest.raises(ProviderError):
        await claims(provider)
    fake.broken.clear()
    assert (await claims(provider))["sub"] == "anna", "and the next time is another"


@pytest.mark.parametrize(
    "lie",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"token_endpoint": None},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": 5},
    ],
)
async def test_a_provider_that_describes_itself_wrongly(fake, provider, lie):
    fake.metadata |= lie
    with pytest.raises(ProviderError):
        await provider.authorization_url(BACK, state="s", nonce="n", verifier="v" * 43)


async def test_a_provider_that_is_away():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    provider = Provider(OidcSettings(issuer=f"http://127.0.0.1:{port}", client_id=CLIENT))
    with pytest.raises(ProviderError, match="does not answer") as caught:
        await claims(provider)
    assert caught.value.remedy


async def test_a_provider_that_takes_its_time(fake, provider, monkeypatch):
    monkeypatch.setattr(oidc_provider, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        slow = Provider(OidcSettings(issuer=url, client_id=CLIENT))
        with pytest.raises(ProviderError, match="does not answer"):
            await claims(slow)


# --- roles ---------------------------------------------------------------------------------------

BY_GROUP = {"role_claim": "groups", "admin_values": "ops", "member_values": "staff, dev"}


@pytest.mark.parametrize(
    ("said", "role"),
    [
        ({"groups": ["ops"]}, Role.ADMIN),
        ({"groups": ["dev", "ops"]}, Role.ADMIN),
        ({"groups": "dev"}, Role.MEMBER),
        ({"groups": ["staff"]}, Role.MEMBER),
        ({"groups": ["others"]}, None),
        ({"groups": []}, None),
        ({"groups": None}, None),
        ({"groups": {"ops": True}}, None),
        ({"groups": "ops,dev"}, None),
        ({"groups": [["ops"]]}, None),
        ({"groups": [True, 1]}, None),
        ({}, None),
    ],
)
def test_roles_by_claim(fake_free, said, role):
    if role is None:
        with pytest.raises(NotAllowedError):
            role_of(fake_free(**BY_GROUP), said)
    else:
        assert role_of(fake_free(**BY_GROUP), said) is role


@pytest.fixture
def fake_free():
    def make(**more):
        return OidcSettings(issuer="https://id.example", client_id=CLIENT, **more)

    return make


def test_a_claim_inside_another_or_with_dots_in_its_name(fake_free):
    nested = fake_free(role_claim="realm_access.roles", admin_values="ops", member_values="x")
    assert role_of(nested, {"realm_access": {"roles": ["ops"]}}) is Role.ADMIN
    named = fake_free(role_claim="https://a.example/roles", admin_values="ops", member_values="x")
    assert role_of(named, {"https://a.example/roles": ["ops"]}) is Role.ADMIN


def test_without_a_claim_everybody_is_a_member_and_who_is_new_stays_out(fake_free):
    plain = fake_free()
    assert role_of(plain, {"groups": ["ops"]}) is Role.MEMBER
    assert not plain.takes_new
    assert fake_free(**BY_GROUP).takes_new
    assert not fake_free(role_claim="groups", admin_values="ops").takes_new
    assert fake_free(allow_new=True).takes_new
    assert not fake_free(**BY_GROUP, allow_new=False).takes_new


@pytest.mark.parametrize("issuer", ["http://id.example", "id.example", "ftp://x", "https://", ""])
def test_an_issuer_without_tls(issuer):
    from pydantic import ValidationError

    with pytest.raises(ValidationError):
        OidcSettings(issuer=issuer, client_id=CLIENT)


def test_settings_from_the_environment(monkeypatch, tmp_path):
    from earthshine.control.settings import ControlSettings

    for name, value in (
        ("ISSUER", "https://id.example"),
        ("CLIENT_ID", CLIENT),
        ("CLIENT_SECRET", "s3cret"),
        ("ROLE_CLAIM", "groups"),
        ("MEMBER_VALUES", "staff, dev"),
        ("SCOPE", "profile"),
    ):
        monkeypatch.setenv(f"EARTHSHINE_OIDC__{name}", value)
    found = ControlSettings(state_dir=tmp_path)
    assert found.oidc is not None
    assert found.oidc.member_values == ("staff", "dev")
    assert found.oidc.scope == "openid profile"
    assert "s3cret" not in repr(found)
