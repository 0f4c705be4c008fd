"""API tokens, for scripts and other programs of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from earthshine.control.access import Access, Actor, Permission, Scope, permits
from earthshine.control.accounts.models import SignInRow
from earthshine.control.accounts.schemas import Token, TokenList, TokenMade
from earthshine.control.accounts.sign_ins import SignIns
from earthshine.control.audit.kinds import AuditKind, Detail, Trail
from earthshine.control.errors import NotAllowedError, NotFoundError


class TokenService:
    """Makes, lists and ends tokens."""

    def __init__(self, access: Access, trail: Trail, *, sign_ins: SignIns) -> None:
        self.access = access
        self._trail = trail
        self._sign_ins = sign_ins

    @permits(Permission.ACCOUNT)
    async def list(self, actor: Actor) -> TokenList:
        """The actor's tokens, last used first."""
        mine = SignInRow.person_id == actor.person_id
        rows = await self._sign_ins.rows(mine, SignInRow.kind != "browser")
        return TokenList(tokens=[_view(row) for row in rows])

    @permits(Permission.ACCOUNT)
    async def make(self, actor: Actor, name: str, scopes: Sequence[Scope], days: int) -> TokenMade:
        """A new token, seen once. Raises NotAllowedError for more than the actor may."""
        asked = frozenset(scopes)
        require_no_more(actor, asked)
        signed_in = await self._sign_ins.issue(
            actor.person_id, "token", timedelta(days=days), name=name, scopes=asked
        )
        token_id = signed_in.actor.sign_in_id
        details: dict[str, Detail] = {"name": name, "scopes": [*sorted(asked)], "days": days}
        await self._trail.record(AuditKind.TOKEN_MADE, actor, subject=token_id, details=details)
        (row,) = await self._sign_ins.rows(SignInRow.id == token_id)
        return TokenMade(token=signed_in.token, info=_view(row))

    @permits(Permission.ACCOUNT)
    async def end(self, actor: Actor, token_id: str) -> None:
        """End a token, and whatever it has open. Raises NotFoundError."""
        mine = (SignInRow.person_id == actor.person_id, SignInRow.kind != "browser")
        if not await self._sign_ins.end(*mine, SignInRow.id == token_id):
            raise NotFoundError("There is no such token.")
        await self._trail.record(AuditKind.TOKEN_ENDED, actor, subject=token_id)


def require_no_more(actor: Actor, scopes: frozenset[Scope]) -> None:
    """Nobody hands out what they do not have. Raises NotAllowedError."""
    more = scopes - actor.scopes
    if more:
        raise NotAllowedError(
            f"The token in use lacks the scope {min(more).value} itself.",
            remedy="Ask for fewer scopes, or use a browser.",
        )


def _view(row: Row[Any]) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        scopes=[Scope(scope) for scope in row.scopes.split()],
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        expires_at=row.expires_at,
    )
