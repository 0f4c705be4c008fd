"""`/api/v1/pairings` and runners' owners for people; `/api/clients` for runners."""

from __future__ import annotations

from fastapi import APIRouter, Request

from earthshine.control.credentials import CurrentActor
from earthshine.control.devices.pairing import PairingService
from earthshine.control.devices.schemas import (
    ChallengeView,
    ChangeRunner,
    Collected,
    CollectTokens,
    ConfirmPairing,
    LeavePairing,
    NewPairing,
    OpenSession,
    Pairing,
    PairingList,
    PresentCode,
    Presented,
    SessionOpened,
)
from earthshine.control.devices.service import DeviceService
from earthshine.control.runners.schemas import RunnerView

router = APIRouter(tags=["devices"])
clients_router = APIRouter(prefix="/api/clients", tags=["clients"])
"""Called by runners. Signatures and tokens in the bodies say who they are."""


def _pairings(request: Request) -> PairingService:
    service: PairingService = request.app.state.pairings
    return service


def _devices(request: Request) -> DeviceService:
    service: DeviceService = request.app.state.devices
    return service


# --- people --------------------------------------------------------------------------------------


@router.post("/pairings", status_code=201)
async def new_pairing(request: Request, actor: CurrentActor, body: NewPairing) -> Pairing:
    """A pairing code: five minutes, one exchange."""
    return await _pairings(request).start(actor, request.app.state.public_url, shared=body.shared)


@router.get("/pairings")
async def list_pairings(request: Request, actor: CurrentActor) -> PairingList:
    """One's own pairings that are not over."""
    return await _pairings(request).list(actor)


@router.get("/pairings/{pairing_id}")
async def get_pairing(request: Request, actor: CurrentActor, pairing_id: str) -> Pairing:
    """One of one's own pairings."""
    return await _pairings(request).get(actor, pairing_id)


@router.post("/pairings/{pairing_id}/confirm")
async def confirm_pairing(
    request: Request, actor: CurrentActor, pairing_id: str, body: ConfirmPairing
) -> Pairing:
    """Let the machine with this fingerprint in. 409 if another one has presented the code."""
    return await _pairings(request).confirm(actor, pairing_id, body.fingerprint)


@router.post("/pairings/{pairing_id}/refuse")
async def refuse_pairing(request: Request, actor: CurrentActor, pairing_id: str) -> Pairing:
    """Void the code and whatever came with it."""
    return await _pairings(request).refuse(actor, pairing_id)


@router.patch("/runners/{runner_id}")
async def change_runner(
    request: Request, actor: CurrentActor, runner_id: str, body: ChangeRunner
) -> RunnerView:
    """Rename a runner, share it with all members or keep it to oneself."""
    return await _devices(request).change(actor, runner_id, name=body.name, shared=body.shared)


@router.post("/runners/{runner_id}/revoke")
async def revoke_runner(request: Request, actor: CurrentActor, runner_id: str) -> RunnerView:
    """End a runner's tokens, connections, streams and sessions at once, for good."""
    return await _devices(request).revoke(actor, runner_id)


@router.delete("/runners/{runner_id}", status_code=204)
async def remove_runner(request: Request, actor: CurrentActor, runner_id: str) -> None:
    """Take a runner off the list: one that is revoked or away."""
    await _devices(request).remove(actor, runner_id)


# --- runners -------------------------------------------------------------------------------------


@clients_router.post("/challenge")
async def new_challenge(request: Request) -> ChallengeView:
    """Something fresh to sign. The other answers bring the next one along."""
    return _devices(request).challenge()


@clients_router.post("/pair")
async def present_code(request: Request, body: PresentCode) -> Presented:
    """Present a pairing code."""
    return await _pairings(request).present(body)


@clients_router.post("/pair/collect")
async def collect_tokens(request: Request, body: CollectTokens) -> Collected:
    """Ask whether the person has confirmed; then the tokens, minted now."""
    return await _pairings(request).collect(body)


@clients_router.post("/session")
async def open_session(request: Request, body: OpenSession) -> SessionOpened:
    """Trade an access or refresh token for a session token."""
    return await _devices(request).open_session(body)


@clients_router.post("/unpair", status_code=204)
async def leave_pairing(request: Request, body: LeavePairing) -> None:
    """A runner gives its credentials up: as if its owner had revoked it."""
    await _devices(request).leave(body)
