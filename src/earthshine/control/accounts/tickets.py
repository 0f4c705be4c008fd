"""Single-use tickets for WebSockets, for programs that can set no header on them.

A ticket is offered among the subprotocols, which no log keeps, beside the one that is meant: a
browser gives up a socket for which the server picks none of those offered.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.accounts.digests import new_secret
from earthshine.control.accounts.pending import Pending
from earthshine.control.accounts.schemas import SocketTicket
from earthshine.control.accounts.sign_ins import SignIns, sign_in_required

TICKET_LIFE: Final = timedelta(seconds=30)
SUBPROTOCOL_PREFIX: Final = "earthshine.ticket."


class TicketService:
    """Issues and takes tickets."""

    def __init__(self, access: Access, *, sign_ins: SignIns) -> None:
        self.access = access
        self._sign_ins = sign_ins
        self._tickets: Pending[str] = Pending(TICKET_LIFE)

    @permits(Permission.EVERYONE)
    async def issue(self, actor: Actor) -> SocketTicket:
        """A ticket that stands for the sign-in in use."""
        ticket = new_secret()
        self._tickets.add(ticket, actor.sign_in_id)
        return SocketTicket(ticket=ticket, expires_in=int(TICKET_LIFE.total_seconds()))

    async def take(self, ticket: str) -> Actor:
        """Who got this ticket, unless signed out since. Raises SignInRequiredError."""
        sign_in_id = self._tickets.take(ticket)
        if sign_in_id is None:
            raise sign_in_required()
        return await self._sign_ins.actor(sign_in_id)
