"""One-time links: whoever opens one is signed in, once."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import delete, func, insert, select

from earthshine.control.accounts.digests import digest
from earthshine.control.accounts.models import SignInCodeRow
from earthshine.control.accounts.schemas import SignInCode
from earthshine.control.accounts.sign_ins import BROWSER_LIFE, SignedIn, SignIns
from earthshine.control.audit.kinds import AuditKind, Trail
from earthshine.control.db.engine import Database
from earthshine.control.errors import GoneError, TooManyError
from earthshine.control.throttle import Check, Throttle

CODE_LIFE: Final = timedelta(minutes=15)
MAX_CODES: Final = 1000
"""Codes that may be open at once."""
MAX_CODES_EACH: Final = 20
"""Of one person; a new one takes the place of the oldest."""


class SignInCodes:
    """Makes and takes one-time codes. Asks nobody's permission: services do."""

    def __init__(
        self, database: Database, sign_ins: SignIns, throttle: Throttle, trail: Trail
    ) -> None:
        self._database = database
        self._sign_ins = sign_ins
        self._throttle = throttle
        self._trail = trail

    async def issue(self, person_id: str) -> str:
        """A code that signs this person in once. Raises TooManyError."""
        code = secrets.token_urlsafe(24)
        now = datetime.now(UTC)
        rows = SignInCodeRow
        async with self._database.write() as connection:
            await connection.execute(delete(rows).where(rows.expires_at < now))
            oldest = (
                select(rows.code_hash)
                .where(rows.person_id == person_id)
                .order_by(rows.expires_at.desc())
                .offset(MAX_CODES_EACH - 1)
            )
            over = [*(await connection.execute(oldest)).scalars()]
            await connection.execute(delete(rows).where(rows.code_hash.in_(over)))
            count = select(func.count()).select_from(rows)
            if ((await connection.execute(count)).scalar() or 0) >= MAX_CODES:
                raise TooManyError(f"{MAX_CODES} sign-in links are open already.")
            await connection.execute(
                insert(rows).values(
                    code_hash=digest(code), person_id=person_id, expires_at=now + CODE_LIFE
                )
            )
        return code

    async def link(self, person_id: str, url: str) -> SignInCode:
        """The same as a link under the server's public `url`."""
        code = await self.issue(person_id)
        return SignInCode(url=f"{url}/#sign-in={code}", expires_in=int(CODE_LIFE.total_seconds()))

    async def redeem(self, code: str) -> SignedIn:
        """Trade a code for a browser's sign-in. Raises GoneError, TooManyError.

        A code that is right is never refused because others guessed: 192 random bits cannot be
        guessed, so the limit serves only to keep those who try quiet.
        """
        person_id = await self._take(code)
        if person_id is None:
            with self._throttle.attempt(Check.SIGN_IN_CODE):
                await self._trail.record(AuditKind.SIGN_IN_REFUSED, details={"method": "link"})
                raise GoneError(
                    "This sign-in link has expired or was used already.",
                    remedy="Run `earthshine sign-in` on the server for a new one.",
                )
        return await self._sign_ins.issue(person_id, "browser", BROWSER_LIFE, method="link")

    async def _take(self, code: str) -> str | None:
        mine = SignInCodeRow.code_hash == digest(code)
        async with self._database.read() as connection:
            query = select(SignInCodeRow.person_id).where(mine)
            if (await connection.execute(query)).first() is None:
                return None  # strangers who guess make no transaction that writes
        taken = delete(SignInCodeRow).where(mine)
        columns = (SignInCodeRow.person_id, SignInCodeRow.expires_at)
        async with self._database.write() as connection:
            row = (await connection.execute(taken.returning(*columns))).first()
        if row is None or row.expires_at < datetime.now(UTC):
            return None
        return str(row.person_id)
