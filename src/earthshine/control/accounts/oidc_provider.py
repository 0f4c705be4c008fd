"""Talking to an OpenID provider: discovery, the code exchange, who somebody is.

OpenID Connect Core 1.0 with PKCE (RFC 7636) and the issuer in the answer (RFC 9207); Authlib does
the exchange and judges the ID token.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from earthshine.control.errors import ProviderError
from earthshine.control.settings import OidcSettings, is_loopback

with warnings.catch_warnings():
    # It would rather have httpx's successor, which nothing else here uses yet.
    warnings.simplefilter("ignore")
    from authlib.integrations.httpx_client import AsyncOAuth2Client

R = TypeVar("R")
TIMEOUT: Final = 10.0
"""Seconds for each request to the provider."""
METADATA_LIFE: Final = 3600.0
KEYS_AGAIN: Final = 30.0
"""Seconds between looking for keys that are new."""
MAX_DOCUMENT: Final = 1024 * 1024
LEEWAY: Final = 60
"""Seconds that clocks may differ."""
ALGORITHMS: Final = frozenset(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
)
"""Public-key signatures only: a provider's answer must prove that it is the provider's."""


@dataclass(frozen=True, slots=True)
class _Kept:
    document: dict[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class _KeptKeys:
    keys: KeySet
    at: float


class Provider:
    """One OpenID provider. What it publishes is asked for when needed and kept for an hour."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._tls: ssl.SSLContext | None = None
        self._metadata: _Kept | None = None
        self._keys: _KeptKeys | None = None
        self._asking = asyncio.Lock()

    async def authorization_url(
        self, redirect_uri: str, *, state: str, nonce: str, verifier: str
    ) -> str:
        """Where to send the browser. Raises ProviderError."""
        metadata = await self._discover()
        async with await self._client(metadata, redirect_uri) as client:
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"],
                state=state,
                nonce=nonce,
                code_verifier=verifier,
                code_challenge=create_s256_code_challenge(verifier),
                code_challenge_method="S256",
                response_type="code",
            )
        return str(url)

    async def check_issuer(self, issuer: str) -> None:
        """Whether an answer came from this provider (RFC 9207, 2.4). Raises ProviderError."""
        metadata = await self._discover()
        names_itself = metadata.get("authorization_response_iss_parameter_supported") is True
        if (issuer or names_itself) and issuer != self._settings.issuer:
            raise ProviderError("The answer came from another provider.", remedy="Sign in again.")

    async def claims(
        self, redirect_uri: str, *, code: str, nonce: str, verifier: str
    ) -> dict[str, Any]:
        """Who signed in: the ID token's claims, and those of userinfo beneath them.

        Raises ProviderError.
        """
        metadata = await self._discover()
        async with await self._client(metadata, redirect_uri) as client:
            token = await _asked(
                lambda: client.fetch_token(
                    metadata["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=verifier,
                    redirect_uri=redirect_uri,
                )
            )
            claims = await self._judge(metadata, token, nonce)
            endpoint = metadata.get("userinfo_endpoint")
            if isinstance(endpoint, str) and token.get("access_token"):
                more = await self._fetch(endpoint, client)
                if more.get("sub") != claims["sub"]:  # OpenID Connect Core, 5.3.2
                    raise ProviderError("The provider contradicts itself about who you are.")
                claims = more | claims
        return claims

    async def _judge(
        self, metadata: dict[str, Any], token: dict[str, Any], nonce: str
    ) -> dict[str, Any]:
        id_token = token.get("id_token")
        if not isinstance(id_token, str):
            raise ProviderError("The provider did not say who you are.")
        try:
            decoded = await self._decode(metadata, id_token)
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                {
                    "iss": {"essential": True, "value": self._settings.issuer},
                    "aud": {"essential": True, "value": self._settings.client_id},
                    "nonce": {"essential": True, "value": nonce},
                },
                {
                    "nonce": nonce,
                    "client_id": self._settings.client_id,
                    "access_token": token.get("access_token"),
                },
            )
            claims.validate(leeway=LEEWAY)
        except (JoseError, AuthlibBaseError, ValueError, TypeError, KeyError):
            raise ProviderError(
                "The provider's answer is not valid.",
                remedy="Check the clocks of both servers, and the client id.",
            ) from None
        subject = claims["sub"]
        if not (isinstance(subject, str) and subject.isascii() and 1 <= len(subject) <= 255):
            raise ProviderError("The provider did not say who you are.")
        return dict(claims)

    async def _decode(self, metadata: dict[str, Any], id_token: str) -> jwt.Token:
        offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        algorithms = sorted(ALGORITHMS.intersection(offered))
        registry = JWSRegistry(algorithms=algorithms, strict_check_header=False)
        try:
            return jwt.decode(id_token, await self._key_set(metadata), registry=registry)
        except InvalidKeyIdError:
            keys = await self._key_set(metadata, again=True)
            return jwt.decode(id_token, keys, registry=registry)

    # --- what the provider publishes -------------------------------------------------------------

    async def _discover(self) -> dict[str, Any]:
        async with self._asking:
            kept = self._metadata
            if kept is not None and time.monotonic() - kept.at < METADATA_LIFE:
                return kept.document
            issuer = self._settings.issuer
            url = issuer.rstrip("/") + "/.well-known/openid-configuration"
            document = await self._fetch(url)
            if document.get("issuer") != issuer:
                raise ProviderError(
                    "The provider calls itself differently.",
                    remedy="EARTHSHINE_OIDC__ISSUER must be its issuer, character for character.",
                )
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                if not _is_safe(document.get(name)):
                    raise ProviderError(f"The provider's {name} is missing or not https.")
            self._metadata = _Kept(document, time.monotonic())
            return document

    async def _key_set(self, metadata: dict[str, Any], *, again: bool = False) -> KeySet:
        async with self._asking:
            kept, now = self._keys, time.monotonic()
            fresh_for = KEYS_AGAIN if again else METADATA_LIFE
            if kept is not None and now - kept.at < fresh_for:
                return kept.keys
            document = await self._fetch(metadata["jwks_uri"])
            keys = KeySet.import_key_set(document)  # type: ignore[arg-type]
            if not keys.keys:
                raise ProviderError("The provider has no keys.")
            self._keys = _KeptKeys(keys, now)
            return keys

    async def _fetch(self, url: str, client: AsyncOAuth2Client | None = None) -> dict[str, Any]:
        """A JSON object; with a client, by its access token."""
        if client is not None:
            return await _asked(lambda: _read(client.stream("GET", url)))
        async with httpx.AsyncClient(verify=await self._trust(), timeout=TIMEOUT) as plain:
            return await _asked(lambda: _read(plain.stream("GET", url)))

    async def _client(self, metadata: dict[str, Any], redirect_uri: str) -> AsyncOAuth2Client:
        secret = self._settings.client_secret
        methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        method = "none"
        if secret is not None:
            basic = "client_secret_basic" in methods or "client_secret_post" not in methods
            method = "client_secret_basic" if basic else "client_secret_post"
        return AsyncOAuth2Client(
            client_id=self._settings.client_id,
            client_secret=None if secret is None else secret.get_secret_value(),
            token_endpoint_auth_method=method,
            scope=self._settings.scope,
            redirect_uri=redirect_uri,
            verify=await self._trust(),
            timeout=TIMEOUT,
        )

    async def _trust(self) -> ssl.SSLContext:
        if self._tls is None:  # reads files
            self._tls = await asyncio.to_thread(httpx.create_ssl_context)
        return self._tls


async def _read(streaming: Any) -> dict[str, Any]:
    async with streaming as response:
        response.raise_for_status()
        body = b""
        async for part in response.aiter_bytes():
            body += part
            if len(body) > MAX_DOCUMENT:
                raise ValueError("too long")
    document = json.loads(body)
    if not isinstance(document, dict):
        raise TypeError("no object")
    return document


async def _asked(question: Callable[[], Awaitable[R]]) -> R:
    try:
        async with asyncio.timeout(TIMEOUT):
            return await question()
    except (httpx.TransportError, httpx.InvalidURL, TimeoutError, OSError):
        raise ProviderError(
            "The sign-in provider does not answer.",
            remedy="Try again in a while, or sign in another way.",
        ) from None
    except (httpx.HTTPError, AuthlibBaseError, ValueError, TypeError, KeyError):
        raise ProviderError(
            "The sign-in provider refused, or answered with something else than was asked.",
            remedy="Try again; an admin finds what is configured in the server's settings.",
        ) from None


def _is_safe(url: object) -> bool:
    if not isinstance(url, str):
        return False
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
