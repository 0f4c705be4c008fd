"""The runner's own code, pairing with and signing in to a real control plane."""

import asyncio
import time

import msgspec
import pytest

from earthshine.control.throttle import Check
from earthshine.protocols import pairing
from earthshine.runner.identity import pairing as exchange
from earthshine.runner.identity.client import ControlPlaneClient, RefusedError, UnreachableError
from earthshine.runner.identity.keychain import Keychain
from earthshine.runner.identity.pairing import PairingFailedError, pair
from earthshine.runner.identity.record import BadRecordError, CredentialsEndedError
from earthshine.runner.identity.session import DeviceSession
from earthshine.runner.identity.store import IdentityStore
from earthshine.runner.identity.unpairing import unpair
from tests.unit.runner.identity.fakes import FakeBackend


@pytest.fixture
async def client(here):
    client = await asyncio.to_thread(ControlPlaneClient, here.url, None)
    yield client
    await client.close()


@pytest.fixture
def store(tmp_path):
    keychain = Keychain("account", FakeBackend())
    return IdentityStore(tmp_path / "state", tmp_path / "data", keychain=keychain)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(exchange, "POLL", 0.01)


async def code_of(person):
    made = (await person.http.post("/api/v1/pairings", json={})).json()
    return made["id"], pairing.read_code(made["code"])


async def paired(here, client, store):
    """An identity in the store, and its session."""
    pairing_id, code = await code_of(here.member)

    async def confirm(fingerprint):
        path = f"/api/v1/pairings/{pairing_id}/confirm"
        await here.member.http.post(path, json={"fingerprint": fingerprint})

    async with asyncio.TaskGroup() as tasks:

        def presented(fingerprint):
            tasks.create_task(confirm(fingerprint))

        identity = await pair(client, here.url, code, "box", presented)
    await asyncio.to_thread(store.found, identity, "now", "auto")
    return DeviceSession(identity, store, client)


async def test_pairing_and_signing_in(here, client, store):
    device = await paired(here, client, store)
    await device.ready()
    first = device.authorization()
    await device.ready()
    assert device.authorization() == first, "as long as it is fresh"
    device.discard()
    await device.ready()
    assert device.authorization() != first
    admitted = await here.plane.authentication.by_dial_back(device.authorization())
    assert admitted == device.runner_id


async def test_new_tokens_are_kept_before_they_are_used(here, client, store):
    device = await paired(here, client, store)
    before = (await asyncio.to_thread(store.load)).refresh_token
    here.plane.devices._tokens.drop(device.runner_id)  # as after a restart of the control plane
    await device.ready()
    kept = await asyncio.to_thread(store.load)
    assert kept.refresh_token != before
    assert kept.access_until > time.time() + 1000
    fresh = DeviceSession(kept, store, client)  # as after a restart of the runner
    await fresh.ready()


async def test_tokens_that_cannot_be_kept_are_kept_later(here, client, store, monkeypatch):
    device = await paired(here, client, store)
    before = (await asyncio.to_thread(store.load)).refresh_token
    here.plane.devices._tokens.drop(device.runner_id)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "save", full)
    await device.ready()
    monkeypatch.undo()
    assert (await asyncio.to_thread(store.load)).refresh_token == before
    device.discard()
    await device.ready()
    assert (await asyncio.to_thread(store.load)).refresh_token != before


async def test_a_token_is_renewed_before_it_runs_out(here, client, store):
    clock = [time.time()]
    device = await paired(here, client, store)
    device._clock = lambda: clock[0]
    await device.ready()
    first = device.authorization()
    naps = []

    async def nap(seconds):
        naps.append(seconds)
        clock[0] += seconds
        if device.authorization() != first:
            raise asyncio.CancelledError

    device._sleep = nap
    with pytest.raises(asyncio.CancelledError):
        await device.keep_fresh()
    assert 300 < sum(naps) < 420, "at six tenths of ten minutes"


async def test_revoked_is_for_good(here, client, store):
    device = await paired(here, client, store)
    await device.ready()
    await here.member.http.post(f"/api/v1/runners/{device.runner_id}/revoke", json={})
    device.discard()
    with pytest.raises(CredentialsEndedError, match="mia revoked it") as ended:
        await device.ready()
    assert ended.value.for_good


async def test_a_server_that_forgot_us_is_not_for_good(here, client, store):
    """Its database may have been restored from a backup, and may be put right."""
    device = await paired(here, client, store)
    here.plane.directory._runners.clear()
    with pytest.raises(CredentialsEndedError) as ended:
        await device.ready()
    assert not ended.value.for_good


async def test_being_told_to_wait_is_no_end(here, client, store, monkeypatch):
    from earthshine.control import throttle
    from earthshine.control.throttle import Limit, Rules

    device = await paired(here, client, store)
    monkeypatch.setitem(throttle.RULES, Check.REFRESH, Rules(address=Limit(0, 60.0)))
    with pytest.raises(UnreachableError, match="Too many"):
        await device.ready()


async def test_unpairing(here, client, store):
    device = await paired(here, client, store)
    assert await unpair(client, device) is None
    assert here.plane.directory.get(device.runner_id).is_revoked
    assert "static" in (await unpair(None, None) or "")


@pytest.mark.parametrize("what", ["refuse", "expire"])
async def test_a_pairing_that_comes_to_nothing_says_why(here, client, what, monkeypatch):
    from datetime import timedelta

    from earthshine.control.devices import pairing as service

    if what == "expire":
        monkeypatch.setattr(service, "DECISION_LIFE", timedelta(0))
    pairing_id, code = await code_of(here.member)

    async def refuse():
        await here.member.http.post(f"/api/v1/pairings/{pairing_id}/refuse", json={})

    async with asyncio.TaskGroup() as tasks:

        def presented(_):
            if what == "refuse":
                tasks.create_task(refuse())

        with pytest.raises(PairingFailedError, match=r"You refused it|in time"):
            await pair(client, here.url, code, "box", presented)


async def test_a_wrong_code_says_so(here, client):
    with pytest.raises(PairingFailedError, match="not good"):
        await pair(client, here.url, pairing.new_code(bytes(7)), "box", lambda _: None)


async def test_a_server_that_is_not_there_says_so(here):
    client = await asyncio.to_thread(ControlPlaneClient, "http://127.0.0.1:1", None)
    with pytest.raises(PairingFailedError, match="cannot be reached"):
        await pair(client, "http://127.0.0.1:1", pairing.new_code(bytes(7)), "x", lambda _: None)
    await client.close()


async def test_an_answer_that_is_not_earthshines_says_so(here):
    client = await asyncio.to_thread(ControlPlaneClient, f"{here.url}/nowhere", None)
    with pytest.raises((UnreachableError, RefusedError)):
        await client.call("/session", {})
    await client.close()


async def test_a_stale_challenge_is_replaced(here, client, store):
    device = await paired(here, client, store)
    client._challenge = "stale"
    await device.ready()


def test_an_identity_survives_being_kept(store):
    from tests.unit.runner.identity.fakes import identity

    mine = identity(pin="sha256:x", ca_file="/ca.pem", allow_plain_http=True)
    store.found(mine, "now", "file")
    assert msgspec.structs.asdict(store.load()) == msgspec.structs.asdict(mine)
    with pytest.raises(BadRecordError):
        IdentityStore(store._state, store._state.parent / "elsewhere").load()
