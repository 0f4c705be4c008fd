"""Minting: a confirmed machine becomes a runner with tokens, a runner gets its next ones."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from earthshine.control.devices import families
from earthshine.control.devices.families import Family, Verdict
from earthshine.control.devices.models import RefreshFamily
from earthshine.control.devices.schemas import DeviceTokens
from earthshine.control.devices.tokens import ACCESS_LIFE, TokenBook
from earthshine.control.errors import GoneError
from earthshine.control.runners.directory import RunnerDirectory


@dataclass(frozen=True, slots=True)
class Minted:
    """What a machine collects."""

    runner_id: str
    tokens: DeviceTokens
    is_new: bool


class SigningOn:
    """The only place that makes refresh tokens. Its methods run inside the caller's transaction."""

    def __init__(self, directory: RunnerDirectory, tokens: TokenBook) -> None:
        self._directory = directory
        self._tokens = tokens

    async def mint(self, connection: AsyncConnection, row: Mapping[str, Any]) -> Minted:
        """A new runner for a confirmed pairing. Raises ConflictError when there are too many."""
        runner_id = secrets.token_hex(16)
        await self._directory.pair(connection, runner_id, row)
        return Minted(runner_id, await self._found(connection, runner_id), is_new=True)

    async def mint_again(self, connection: AsyncConnection, runner_id: str) -> Minted:
        """For an answer that was lost: only as long as nothing of it was used. Raises GoneError."""
        family = await self._family(connection, runner_id)
        if family is None or family.generation > 1 or family.taken:
            raise GoneError("The tokens have been collected already.")
        self._tokens.drop(runner_id)
        await connection.execute(delete(RefreshFamily).where(RefreshFamily.id == family.id))
        return Minted(runner_id, await self._found(connection, runner_id), is_new=False)

    async def joined(self, runner_id: str) -> None:
        """The transaction of `mint` has been committed."""
        await self._directory.paired(runner_id)

    async def rotate(
        self, connection: AsyncConnection, runner_id: str, token: str
    ) -> tuple[Verdict, DeviceTokens | None, int]:
        """Use a refresh token up: what it was, what comes next if it was good, its generation."""
        now = datetime.now(UTC)
        family = await self._family(connection, runner_id)
        verdict = families.judge(family, token, now)
        if family is None or verdict not in (Verdict.CURRENT, Verdict.LOST_ANSWER):
            return verdict, None, 0
        fresh = families.new_token(family.id, family.generation + 1)
        values = families.rotated(family, verdict, fresh, now)
        await connection.execute(
            update(RefreshFamily).where(RefreshFamily.id == family.id).values(values)
        )
        return (
            verdict,
            self._with_access(runner_id, fresh, values["generation"]),
            (values["generation"]),
        )

    async def taken(self, connection: AsyncConnection, runner_id: str, generation: int) -> None:
        """The runner used something that came with this generation: it has arrived."""
        await connection.execute(
            update(RefreshFamily)
            .where(RefreshFamily.runner_id == runner_id, RefreshFamily.generation == generation)
            .values(taken=True)
        )

    async def _found(self, connection: AsyncConnection, runner_id: str) -> DeviceTokens:
        """A new family, and its first tokens."""
        now = datetime.now(UTC)
        family_id = families.new_family_id()
        token = families.new_token(family_id, 1)
        await connection.execute(
            insert(RefreshFamily).values(
                id=family_id,
                runner_id=runner_id,
                generation=1,
                token_hash=families.token_hash(token),
                previous_hash=None,
                taken=False,
                retries=0,
                created_at=now,
                rotated_at=now,
                expires_at=now + families.REFRESH_LIFE,
            )
        )
        return self._with_access(runner_id, token, 1)

    def _with_access(self, runner_id: str, refresh: str, generation: int) -> DeviceTokens:
        return DeviceTokens(
            access_token=self._tokens.issue("access", runner_id, generation),
            access_expires_in=ACCESS_LIFE,
            refresh_token=refresh,
            refresh_expires_in=int(families.REFRESH_LIFE.total_seconds()),
        )

    async def _family(self, connection: AsyncConnection, runner_id: str) -> Family | None:
        query = (
            select(RefreshFamily.__table__)
            .where(RefreshFamily.runner_id == runner_id)
            .with_for_update()
        )
        row = (await connection.execute(query)).first()
        return None if row is None else Family.of(row)
