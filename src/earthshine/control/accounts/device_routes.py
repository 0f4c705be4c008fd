"""`/api/v1/device-flow`: a program on a machine without a browser is let in (RFC 8628)."""

from __future__ import annotations

from fastapi import APIRouter, Request

from earthshine.control.accounts.http import parts
from earthshine.control.accounts.schemas import (
    DeviceCode,
    DeviceDecision,
    DeviceFlow,
    DeviceRequest,
    DeviceToken,
    NewDeviceFlow,
)
from earthshine.control.credentials import CurrentActor

router = APIRouter(tags=["accounts"])


@router.post("/device-flow", status_code=201)
async def start_device_flow(request: Request, body: NewDeviceFlow) -> DeviceFlow:
    """Ask to be let in."""
    flows = parts(request).device_flow
    return await flows.start(body.client_name, body.scopes, request.app.state.public_url)


@router.post("/device-flow/token")
async def device_token(request: Request, body: DeviceCode) -> DeviceToken:
    """Collect the token, once.

    Until then a problem: `authorization-pending`, `slow-down`, `access-denied`, `expired-token`.
    """
    return await parts(request).device_flow.collect(body.device_code)


@router.get("/device-flow/{user_code}")
async def device_request(request: Request, actor: CurrentActor, user_code: str) -> DeviceRequest:
    """What is asked for under a code."""
    return await parts(request).device_flow.look_up(actor, user_code)


@router.post("/device-flow/{user_code}", status_code=204)
async def decide_device(
    request: Request, actor: CurrentActor, user_code: str, body: DeviceDecision
) -> None:
    """Let the program in as oneself, or not."""
    await parts(request).device_flow.decide(actor, user_code, approve=body.approve)
