"""Signing in with an OpenID Connect provider.

Somebody is known by the provider's own id for them, never by name or e-mail. Where a role claim is
configured, it decides at each sign-in what they are here.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from earthshine.control.access import Access, Actor, Permission, Role, permits
from earthshine.control.accounts import names
from earthshine.control.accounts.digests import digest, new_secret
from earthshine.control.accounts.models import OidcIdentityRow, Person
from earthshine.control.accounts.oidc_provider import Provider
from earthshine.control.accounts.pending import Pending
from earthshine.control.accounts.sign_ins import BROWSER_LIFE, SignedIn, SignIns, require_whole
from earthshine.control.accounts.store import PeopleStore
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.db.engine import Database
from earthshine.control.errors import (
    ConflictError,
    DomainError,
    GoneError,
    NotAllowedError,
    NotFoundError,
    ProviderError,
)
from earthshine.control.settings import OidcSettings
from earthshine.control.throttle import Check, Throttle

FLOW_COOKIE: Final = "earthshine_oidc"
FLOW_LIFE: Final = timedelta(minutes=10)
CALLBACK_PATH: Final = "/api/v1/sign-in/oidc/callback"
NAMELESS: Final = "Somebody"


@dataclass(frozen=True, slots=True)
class Start:
    """Where the browser goes, and the secret that it keeps in a cookie."""

    url: str
    browser: str


@dataclass(frozen=True, slots=True)
class Callback:
    """What the browser brought back from the provider."""

    browser: str
    state: str
    code: str
    issuer: str
    error: str


@dataclass(frozen=True, slots=True)
class Flow:
    """One browser's way to the provider and back."""

    browser_hash: str
    nonce: str
    verifier: str
    redirect_uri: str
    linking: str
    """The sign-in whose person wants the provider's account linked; empty to sign in."""


class OidcService:
    """Sends people to the provider and takes them back."""

    def __init__(
        self,
        database: Database,
        access: Access,
        throttle: Throttle,
        trail: Trail,
        *,
        store: PeopleStore,
        sign_ins: SignIns,
        settings: OidcSettings | None,
    ) -> None:
        self.access = access
        self._database = database
        self._throttle = throttle
        self._trail = trail
        self._store = store
        self._sign_ins = sign_ins
        self._settings = settings
        self._provider = None if settings is None else Provider(settings)
        self._flows: Pending[Flow] = Pending(FLOW_LIFE)

    @property
    def name(self) -> str | None:
        """What people call the provider; None where there is none."""
        return None if self._settings is None else self._settings.name

    def _configured(self) -> tuple[OidcSettings, Provider]:
        if self._settings is None or self._provider is None:
            raise NotFoundError("This server has no sign-in provider.")
        return self._settings, self._provider

    # --- there -----------------------------------------------------------------------------------

    async def start(self, url: str) -> Start:
        """Begin to sign in; `url` is the server's public one. Raises ProviderError."""
        return await self._start(url, linking="")

    @permits(Permission.ACCOUNT)
    async def start_linking(self, actor: Actor, url: str) -> Start:
        """Begin to link the provider's account to the actor. Raises ProviderError."""
        require_whole(actor)
        return await self._start(url, linking=actor.sign_in_id)

    async def _start(self, url: str, linking: str) -> Start:
        _, provider = self._configured()
        state, browser, nonce, verifier = (new_secret() for _ in range(4))
        flow = Flow(digest(browser), nonce, verifier, url + CALLBACK_PATH, linking)
        there = await provider.authorization_url(
            flow.redirect_uri, state=state, nonce=nonce, verifier=verifier
        )
        self._flows.add(state, flow)
        return Start(there, browser)

    # --- and back --------------------------------------------------------------------------------

    async def finish(self, back: Callback) -> SignedIn | None:
        """Sign in, or link an account (None). Raises DomainErrors in words for people."""
        settings, provider = self._configured()
        with self._throttle.attempt(Check.SIGN_IN):
            flow = self._flows.take(back.state)
            if flow is None or not hmac.compare_digest(flow.browser_hash, digest(back.browser)):
                raise GoneError(
                    "This sign-in was begun in another browser, or too long ago.",
                    remedy="Go back and sign in again.",
                )
        try:
            await provider.check_issuer(back.issuer)
            if back.error or not back.code:
                raise ProviderError(
                    "You refused, or the provider did.", remedy="Go back and sign in again."
                )
            claims = await provider.claims(
                flow.redirect_uri, code=back.code, nonce=flow.nonce, verifier=flow.verifier
            )
            if flow.linking:
                await self._link(flow.linking, settings, claims)
                return None
            person_id = await self._person(settings, claims)
            return await self._sign_ins.issue(person_id, "browser", BROWSER_LIFE, method="oidc")
        except DomainError as error:
            details = {"method": "oidc", "why": error.code}
            await self._trail.record(AuditKind.SIGN_IN_REFUSED, details=details)
            raise

    async def _known(self, settings: OidcSettings, subject: str) -> str | None:
        rows = OidcIdentityRow
        query = select(rows.person_id).where(
            rows.issuer == settings.issuer, rows.subject == subject
        )
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalar()

    async def _person(self, settings: OidcSettings, claims: dict[str, Any]) -> str:
        """Whom the claims are about: their role as it now is, made where new and allowed."""
        role = role_of(settings, claims)
        person_id = await self._known(settings, claims["sub"])
        if person_id is not None:
            if settings.role_claim:
                await self._set_role(person_id, role)
            return person_id
        if not settings.takes_new:
            raise NotAllowedError(
                "Nobody here has this account yet.",
                remedy="Ask an admin for a link, sign in with it, and link the account under "
                "Settings.",
            )
        called = next(
            (c for c in map(claims.get, ("name", "preferred_username", "nickname")) if c), ""
        )
        name = names.salvage(called if isinstance(called, str) else "", NAMELESS)
        person_id = await self._store.add(name, role, exact=False)
        if not await self._insert(settings, claims["sub"], person_id):
            # The same person, in two windows at once: the other came first.
            async with self._database.write() as connection:
                await connection.execute(delete(Person).where(Person.id == person_id))
            return await self._person(settings, claims)
        details = {"role": role.value, "method": "oidc"}
        await self._trail.record(AuditKind.PERSON_ADDED, subject=person_id, details=details)
        return person_id

    async def _insert(self, settings: OidcSettings, subject: str, person_id: str) -> bool:
        row = {
            "issuer": settings.issuer,
            "subject": subject,
            "person_id": person_id,
            "created_at": datetime.now(UTC),
        }
        try:
            async with self._database.write() as connection:
                await connection.execute(insert(OidcIdentityRow).values(row))
        except IntegrityError:
            return False
        return True

    async def _set_role(self, person_id: str, role: Role) -> None:
        async with self._database.write() as connection:
            person = await self._store.in_transaction(connection, person_id)
            if person.role == role:
                return
            if await self._store.active_admins(connection) == [person_id]:
                return  # the last admin stays one, whatever the provider says
            query = update(Person).where(Person.id == person_id).values(role=role)
            await connection.execute(query)
        await self._sign_ins.changed(person_id)
        details = {"role": role.value, "method": "oidc"}
        await self._trail.record(AuditKind.ROLE_CHANGED, subject=person_id, details=details)

    async def _link(self, sign_in_id: str, settings: OidcSettings, claims: dict[str, Any]) -> None:
        actor = await self._sign_ins.actor(sign_in_id)
        known = await self._known(settings, claims["sub"])
        if known == actor.person_id:
            return
        if known is not None or not await self._insert(settings, claims["sub"], actor.person_id):
            raise ConflictError("This account is linked to somebody else here.")
        await self._trail.record(AuditKind.PROVIDER_LINKED, actor, subject=actor.person_id)

    @permits(Permission.ACCOUNT)
    async def unlink(self, actor: Actor) -> None:
        """Forget the provider's account. Raises NotFoundError."""
        require_whole(actor)
        gone = delete(OidcIdentityRow).where(OidcIdentityRow.person_id == actor.person_id)
        async with self._database.write() as connection:
            if (await connection.execute(gone)).rowcount == 0:
                raise NotFoundError("No account is linked.")
        await self._trail.record(AuditKind.PROVIDER_UNLINKED, actor, subject=actor.person_id)


def role_of(settings: OidcSettings, claims: dict[str, Any]) -> Role:
    """What the role claim makes of somebody. Raises NotAllowedError for nobody.

    The claim is a text or a list of texts; `a.b` finds `b` inside `a`, where no claim is called
    so itself.
    """
    if not settings.role_claim:
        return Role.MEMBER
    values = _values(claims, settings.role_claim)
    if not values.isdisjoint(settings.admin_values):
        return Role.ADMIN
    if not settings.member_values or not values.isdisjoint(settings.member_values):
        return Role.MEMBER
    raise NotAllowedError(
        "Your account may not use this server.",
        remedy="Ask whoever runs the sign-in provider for the role that it needs.",
    )


def _values(claims: dict[str, Any], claim: str) -> frozenset[str]:
    value: Any = claims.get(claim)
    if value is None:
        value = claims
        for part in claim.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    found: Sequence[Any] = value if isinstance(value, list) else [value]
    return frozenset(one for one in found if isinstance(one, str))
