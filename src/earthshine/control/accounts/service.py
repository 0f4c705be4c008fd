"""One's own sign-ins, and those that the server itself gives out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.accounts.codes import SignInCodes
from earthshine.control.accounts.models import SignInRow
from earthshine.control.accounts.schemas import SignInList, SignInView
from earthshine.control.accounts.sign_ins import SignedIn, SignIns
from earthshine.control.accounts.store import PeopleStore
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.errors import NotFoundError, SignInRequiredError

TOKEN_LIFE: Final = timedelta(days=365)
LOCAL_TOKEN: Final = "command line of the server's machine"  # noqa: S105 - a name
RENEW_BEFORE: Final = timedelta(days=30)


class AccountService:
    """Signs in, recognises and signs out."""

    def __init__(
        self,
        access: Access,
        trail: Trail,
        *,
        store: PeopleStore,
        sign_ins: SignIns,
        codes: SignInCodes,
    ) -> None:
        self.access = access
        self._trail = trail
        self._store = store
        self._sign_ins = sign_ins
        self._codes = codes

    @property
    def on_sign_out(self) -> Callable[[str], None]:
        """Told the id of each sign-in that ends."""
        return self._sign_ins.on_end

    @on_sign_out.setter
    def on_sign_out(self, told: Callable[[str], None]) -> None:
        self._sign_ins.on_end = told

    # --- for the server itself, and before there is an actor -------------------------------------

    async def name(self, person_id: str) -> str:
        """A person's name."""
        return await self._store.name(person_id)

    async def issue_code(self, person_id: str) -> str:
        """A code that signs this person in once. For the server's own output."""
        return await self._codes.issue(person_id)

    async def redeem(self, code: str) -> SignedIn:
        """Trade a code for a browser's sign-in. Raises GoneError, TooManyError."""
        return await self._codes.redeem(code)

    async def issue_token(self, person_id: str) -> SignedIn:
        """A token with every right of this person."""
        return await self._sign_ins.issue(person_id, "token", TOKEN_LIFE, name=LOCAL_TOKEN)

    async def local_token(self, person_id: str, known: str) -> str:
        """The token for programs of the server's own user: the one they have, while it lasts."""
        mine = (
            SignInRow.person_id == person_id,
            SignInRow.name == LOCAL_TOKEN,
            SignInRow.kind == "token",
        )
        try:
            actor = await self._sign_ins.authenticate(known)
        except SignInRequiredError:
            pass
        else:
            rows = await self._sign_ins.rows(*mine, SignInRow.id == actor.sign_in_id)
            if rows and rows[0].expires_at - rows[0].last_seen_at > RENEW_BEFORE:
                return known
        await self._sign_ins.end(*mine)
        signed_in = await self.issue_token(person_id)
        await self._trail.record(
            AuditKind.TOKEN_MADE, signed_in.actor, subject=signed_in.actor.sign_in_id
        )
        return signed_in.token

    async def authenticate(self, token: str) -> Actor:
        """Whose token this is. Raises SignInRequiredError."""
        return await self._sign_ins.authenticate(token)

    # --- one's own -------------------------------------------------------------------------------

    @permits(Permission.EVERYONE)
    async def sign_out(self, actor: Actor) -> None:
        """End the sign-in that the actor uses, and its sockets."""
        await self._sign_ins.end(SignInRow.id == actor.sign_in_id)
        await self._trail.record(AuditKind.SIGNED_OUT, actor)

    @permits(Permission.ACCOUNT)
    async def sign_ins(self, actor: Actor) -> SignInList:
        """Browsers and programs that are signed in as the actor, last used first."""
        rows = await self._sign_ins.rows(SignInRow.person_id == actor.person_id)
        return SignInList(
            sign_ins=[
                SignInView(
                    id=row.id,
                    kind=row.kind,
                    name=row.name,
                    address=row.address,
                    user_agent=row.user_agent,
                    created_at=row.created_at,
                    last_seen_at=row.last_seen_at,
                    expires_at=row.expires_at,
                    current=row.id == actor.sign_in_id,
                )
                for row in rows
            ]
        )

    @permits(Permission.ACCOUNT)
    async def end(self, actor: Actor, sign_in_id: str) -> None:
        """End one of the actor's sign-ins, and its sockets. Raises NotFoundError."""
        mine = SignInRow.person_id == actor.person_id
        if not await self._sign_ins.end(mine, SignInRow.id == sign_in_id):
            raise NotFoundError("There is no such sign-in.")
        await self._trail.record(AuditKind.SIGN_IN_ENDED, actor, subject=sign_in_id)

    @permits(Permission.ACCOUNT)
    async def end_others(self, actor: Actor) -> None:
        """End all of the actor's sign-ins but the one in use."""
        mine = SignInRow.person_id == actor.person_id
        ended = await self._sign_ins.end(mine, SignInRow.id != actor.sign_in_id)
        details = {"sign_ins": len(ended)}
        await self._trail.record(
            AuditKind.SIGN_IN_ENDED, actor, subject=actor.person_id, details=details
        )
