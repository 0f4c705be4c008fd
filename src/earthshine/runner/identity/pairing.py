"""Pairing this machine: present the code, let a person compare fingerprints, collect tokens."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import time
from collections.abc import Callable
from typing import Any, Final

from earthshine.protocols import pairing
from earthshine.runner.identity.client import ControlPlaneClient, RefusedError, UnreachableError
from earthshine.runner.identity.record import Identity

POLL: Final = 1.0
"""Seconds between questions whether the person has confirmed."""
PATIENCE: Final = 660.0
"""Seconds in all; the control plane gives up before."""


class PairingFailedError(Exception):
    """This machine was not paired; the message says why and what to do."""


async def pair(
    client: ControlPlaneClient,
    url: str,
    code: str,
    name: str,
    presented: Callable[[str], None],
    **trust: Any,
) -> Identity:
    """A new identity. `presented` is told the fingerprint that the person has to compare.

    `trust` goes into the identity: how the control plane is known. Raises PairingFailedError.
    """
    private = os.urandom(pairing.KEY_BYTES)
    try:
        pairing_id = await _present(client, url, code, private, name)
        presented(pairing.fingerprint(pairing.public_key(private)))
        answer = await _collect(client, url, pairing_id, private)
    except RefusedError as error:
        raise PairingFailedError(str(error)) from None
    try:
        tokens = answer["tokens"]
        return Identity(
            url=url,
            runner_id=answer["runnerId"],
            name=answer["name"],
            private_key=pairing.to_text(private),
            refresh_token=tokens["refreshToken"],
            access_token=tokens["accessToken"],
            access_until=time.time() + tokens["accessExpiresIn"],
            **trust,
        )
    except (KeyError, TypeError):
        raise PairingFailedError("the control plane's answer makes no sense") from None


async def _present(
    client: ControlPlaneClient, url: str, code: str, private: bytes, name: str
) -> str:
    key = pairing.public_key(private)
    said = {
        "name": name,
        "hostname": socket.gethostname(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    message = pairing.present_transcript(
        pairing.origin_of(url), code, key, said["name"], said["hostname"], said["platform"]
    )
    body = {
        "code": code,
        "key": pairing.to_text(key),
        "signature": pairing.sign(private, message),
        **said,
    }
    for attempt in range(3):  # the same machine may present its code again: an answer can get lost
        try:
            return str((await client.call("/pair", body))["pairingId"])
        except KeyError:
            break
        except UnreachableError as error:
            if attempt == 2:
                raise PairingFailedError(f"{url} cannot be reached: {error}") from None
            await asyncio.sleep(POLL)
    raise PairingFailedError("the control plane's answer makes no sense")


async def _collect(
    client: ControlPlaneClient, url: str, pairing_id: str, private: bytes
) -> dict[str, Any]:
    def body(challenge: str) -> dict[str, Any]:
        message = pairing.collect_transcript(pairing.origin_of(url), pairing_id, challenge)
        return {
            "pairingId": pairing_id,
            "challenge": challenge,
            "signature": pairing.sign(private, message),
        }

    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        wait = POLL
        try:
            answer = await client.signed("/pair/collect", body)
        except UnreachableError:
            answer = {"state": "presented"}  # a break in the network is no reason to give up
        except RefusedError as error:
            if error.status != 429:
                raise
            answer, wait = {"state": "presented"}, error.retry_after or POLL
        match answer.get("state"):
            case "paired":
                return answer
            case "refused":
                raise PairingFailedError(str(answer.get("detail") or "the pairing was refused"))
            case "expired":
                raise PairingFailedError("nobody confirmed in time: start again with a new code")
            case _:
                await asyncio.sleep(wait)
    raise PairingFailedError("nobody confirmed in time: start again with a new code")
