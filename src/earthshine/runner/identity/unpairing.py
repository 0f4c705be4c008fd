"""Giving the credentials up."""

from __future__ import annotations

from earthshine.runner.identity.client import ControlPlaneClient, RefusedError, UnreachableError
from earthshine.runner.identity.session import ENDED, DeviceSession


async def unpair(client: ControlPlaneClient | None, device: DeviceSession | None) -> str | None:
    """Tell the control plane; why that did not work, or None."""
    if client is None or device is None:
        return "it uses the static token"
    try:
        await client.signed("/unpair", device.farewell)
    except RefusedError as error:
        return None if error.code in ENDED else str(error)
    except UnreachableError as error:
        return str(error)
    finally:
        await client.close()
    return None
