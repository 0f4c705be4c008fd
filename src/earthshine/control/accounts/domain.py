"""The services of this domain, put together."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from earthshine.control.access import Access
from earthshine.control.accounts.codes import SignInCodes
from earthshine.control.accounts.device_flow import DeviceFlowService
from earthshine.control.accounts.hashing import Hasher
from earthshine.control.accounts.oidc import OidcService
from earthshine.control.accounts.passkeys import PasskeyService, RelyingParty
from earthshine.control.accounts.passwords import PasswordService
from earthshine.control.accounts.people import PeopleService
from earthshine.control.accounts.service import AccountService
from earthshine.control.accounts.sign_ins import SignIns
from earthshine.control.accounts.store import PeopleStore
from earthshine.control.accounts.tickets import TicketService
from earthshine.control.accounts.tokens import TokenService
from earthshine.control.audit.kinds import Trail
from earthshine.control.db.engine import Database
from earthshine.control.settings import OidcSettings
from earthshine.control.throttle import Throttle

PURGE_EVERY: Final = 3600.0
"""Seconds between looking for guests to forget."""
log = logging.getLogger(__name__)


class Accounts:
    """Everything about people, for the application to hand to routes."""

    def __init__(
        self,
        database: Database,
        access: Access,
        throttle: Throttle,
        trail: Trail,
        *,
        oidc: OidcSettings | None = None,
        hasher: Hasher | None = None,
    ) -> None:
        provider = None if oidc is None else oidc.name
        store = PeopleStore(database)
        self.sign_ins = sign_ins = SignIns(database, trail)
        codes = SignInCodes(database, sign_ins, throttle, trail)
        self.service = AccountService(access, trail, store=store, sign_ins=sign_ins, codes=codes)
        self.people = PeopleService(
            database,
            access,
            trail,
            store=store,
            sign_ins=sign_ins,
            codes=codes,
            provider=provider,
        )
        self.passkeys = PasskeyService(
            database, access, throttle, trail, store=store, sign_ins=sign_ins
        )
        self.passwords = PasswordService(
            database,
            access,
            throttle,
            trail,
            store=store,
            sign_ins=sign_ins,
            passkeys=self.passkeys,
            hasher=hasher or Hasher(),
        )
        self.oidc = OidcService(
            database, access, throttle, trail, store=store, sign_ins=sign_ins, settings=oidc
        )
        self.tokens = TokenService(access, trail, sign_ins=sign_ins)
        self.tickets = TicketService(access, sign_ins=sign_ins)
        self.device_flow = DeviceFlowService(access, throttle, trail, sign_ins=sign_ins)

    def serve_at(self, public_url: str) -> None:
        """The server's public address is known now."""
        self.passkeys.relying_party = RelyingParty.at(public_url)

    async def run(self) -> None:
        """Until cancelled: end what has expired, note what was used, forget old guests."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.sign_ins.run())
            tasks.create_task(self._purge())

    async def _purge(self) -> None:
        while True:
            try:
                await self.people.purge_guests()
            except (SQLAlchemyError, OSError) as error:
                log.warning("old guests could not be forgotten: %s", type(error).__name__)
            await asyncio.sleep(PURGE_EVERY)
