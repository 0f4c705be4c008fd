"""Pairing over real HTTP: what a code lets in, and what it does not."""

import asyncio
from datetime import timedelta

import pytest

from earthshine.control.devices import pairing as service
from earthshine.control.throttle import RULES, Check
from earthshine.protocols import pairing

LIMITS = RULES[Check.PAIRING]
CODE_BURST = LIMITS.code.burst if LIMITS.code else 0


async def start(person, **body):
    answer = await person.http.post("/api/v1/pairings", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def seen(person, made):
    return (await person.http.get(f"/api/v1/pairings/{made['id']}")).json()


async def confirm(person, made, fingerprint):
    path = f"/api/v1/pairings/{made['id']}/confirm"
    return await person.http.post(path, json={"fingerprint": fingerprint})


# --- as it should be -----------------------------------------------------------------------------


async def test_a_machine_is_let_in(here, machine, trail):
    made = await start(here.member, shared=True)
    assert made["state"] == "waiting"
    assert made["command"] == f"earthshine runner pair {here.url} {made['code']}"
    assert made["qr"].startswith("<svg")
    assert pairing.read_pairing_uri(made["uri"])[0].url == here.url
    box = await machine("big box")
    answer = (await box.present(made["code"])).json()
    assert answer["fingerprint"] == box.fingerprint
    assert "tokens" not in answer, "nothing is given out before a person has confirmed"
    assert (await box.collect()).json()["state"] == "presented"

    view = await seen(here.member, made)
    assert view["state"] == "presented"
    assert view["machine"] == {
        "name": "big box",
        "hostname": "box.local",
        "platform": "Linux",
        "address": "127.0.0.1",
        "fingerprint": box.fingerprint,
    }
    assert (view["code"], view["command"], view["qr"]) == (None, None, None), "told once"
    confirmed = await confirm(here.member, made, box.fingerprint.lower().replace("-", " "))
    assert confirmed.json()["state"] == "confirmed"
    collected = (await box.collect()).json()
    assert collected["state"] == "paired"
    assert (await seen(here.member, made))["runnerId"] == box.runner_id

    (runner,) = (await here.member.http.get("/api/v1/runners")).json()["runners"]
    assert runner["id"] == box.runner_id
    assert (runner["name"], runner["ownerName"], runner["shared"]) == ("big box", "mia", True)
    assert (runner["credential"], runner["state"]) == ("device", "away")
    assert runner["fingerprint"] == box.fingerprint
    assert trail.kinds() == [
        "pairing-started",
        "pairing-presented",
        "pairing-confirmed",
        "runner-paired",
    ]
    assert made["code"] not in str(trail.records)
    assert box.refresh not in str(trail.records)


async def test_the_database_holds_no_code_and_no_token(here, machine):
    from sqlalchemy import text

    box = await machine()
    made = await start(here.member)
    await box.present(made["code"])
    await confirm(here.member, made, box.fingerprint)
    await box.collect()
    session = await box.session()
    async with here.plane.database.read() as connection:
        found = ""
        for table in ("pairings", "refresh_families", "runners"):
            found += str((await connection.execute(text(f"SELECT * FROM {table}"))).all())
    for secret in (pairing.read_code(made["code"]), made["code"], box.refresh, box.access, session):
        assert secret not in found
    assert box.fingerprint not in found  # it is made from the key when it is shown
    assert pairing.to_text(box.key) in found


async def test_the_code_carries_the_servers_pin_where_it_needs_one(here, monkeypatch):
    pin = "sha256:" + "a" * 43
    monkeypatch.setattr(here.plane.pairings, "_server_pin", lambda: pin)
    made = await start(here.member)
    assert f" {here.url}#{pin} " in made["command"]
    assert pairing.read_pairing_uri(made["uri"])[0].pin == pin
    assert made["serverFingerprint"] == pin


async def test_the_same_machine_may_ask_again(here, machine):
    """An answer can get lost; the key shows that it is the same machine."""
    box = await machine()
    made = await start(here.member)
    first, second = await box.present(made["code"]), await box.present(made["code"])
    assert first.json()["pairingId"] == second.json()["pairingId"]
    await confirm(here.member, made, box.fingerprint)
    assert (await box.present(made["code"])).status_code == 200
    lost = (await box.collect()).json()
    again = (await box.collect()).json()
    assert lost["runnerId"] == again["runnerId"]
    assert lost["tokens"]["refreshToken"] != again["tokens"]["refreshToken"]
    refused = await box.open(lost["tokens"]["refreshToken"])
    assert refused.status_code == 401, "the lost ones are void"
    assert (await box.open(again["tokens"]["refreshToken"])).status_code == 200
    assert (await box.collect()).status_code == 410, "once something was used it is over"


# --- incidents -----------------------------------------------------------------------------------


async def test_replayed_pairing_code(here, machine, trail):
    box, thief = await machine(), await machine("thief")
    made = await start(here.member)
    await box.present(made["code"])
    await confirm(here.member, made, box.fingerprint)
    assert (await thief.present(made["code"])).status_code == 410
    assert (await box.collect()).json()["state"] == "paired", "who was confirmed is not harmed"
    assert (await thief.present(made["code"])).status_code == 410
    assert (await thief.collect(box.pairing_id)).status_code == 401
    replays = [f for kind, f in trail.records if kind == "pairing-refused"]
    assert [f["details"]["reason"] for f in replays] == ["replayed", "replayed"]


async def test_parallel_pairing(here, machine, trail):
    """Parallel pairing: one of them has stolen the code, and nobody here knows which."""
    box, thief = await machine(), await machine("thief")
    made = await start(here.member)
    answers = await asyncio.gather(box.present(made["code"]), thief.present(made["code"]))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    view = await seen(here.member, made)
    assert view["state"] == "refused"
    assert "Two machines" in view["detail"]
    for one in (box, thief):
        refused = await confirm(here.member, made, one.fingerprint)
        assert refused.status_code == 409
    first = box if answers[0].status_code == 200 else thief
    assert (await first.collect()).json()["state"] == "refused"
    assert "pairing-refused" in trail.kinds()


async def test_many_at_once_get_one_exchange(here, machine):
    made = await start(here.member)
    boxes = [await machine(f"box {number}") for number in range(6)]
    answers = await asyncio.gather(*[box.present(made["code"]) for box in boxes])
    assert [a.status_code for a in answers].count(200) <= 1
    assert (await seen(here.member, made))["state"] == "refused"


async def test_a_swapped_machine_is_not_confirmed(here, machine):
    """Somebody in between presented a key of their own: the fingerprints differ."""
    box, between = await machine(), await machine()
    made = await start(here.member)
    await between.present(made["code"])
    answer = await confirm(here.member, made, box.fingerprint)
    assert answer.status_code == 409
    assert "another fingerprint" in answer.json()["detail"]
    assert (await seen(here.member, made))["state"] == "presented"
    assert (await between.collect()).json()["tokens"] is None


async def test_what_was_said_to_a_false_server_is_of_no_use(here, machine):
    box = await machine()
    made = await start(here.member)
    relayed = await box.present(made["code"], origin="https://evil.example")
    assert relayed.status_code == 401
    assert relayed.json()["code"] == "proof-refused"
    assert (await seen(here.member, made))["state"] == "waiting"


async def test_a_key_must_be_proved(here, machine):
    box, other = await machine(), await machine()
    made = await start(here.member)
    stolen = box.presenting(made["code"]) | {"key": pairing.to_text(other.key)}
    assert (await box.post("/pair", stolen)).status_code == 401
    renamed = box.presenting(made["code"]) | {"name": "something else"}
    assert (await box.post("/pair", renamed)).status_code == 401
    assert (await seen(here.member, made))["state"] == "waiting"


async def test_a_request_to_collect_cannot_be_replayed(here, machine):
    box = await machine()
    made = await start(here.member)
    await box.present(made["code"])
    challenge = await box.challenge()
    message = pairing.collect_transcript(box.origin, box.pairing_id, challenge)
    body = {"pairingId": box.pairing_id, "challenge": challenge}
    body["signature"] = pairing.sign(box.private, message)
    assert (await box.post("/pair/collect", body)).status_code == 200
    await confirm(here.member, made, box.fingerprint)
    again = await box.post("/pair/collect", body)
    assert (again.status_code, again.json()["code"]) == (401, "stale-challenge")


async def test_names_cannot_play_tricks(here, machine):
    """Stored markup, control and bidirectional signs, endless names."""
    box = await machine()
    made = await start(here.member)
    name = "<img src=x onerror=alert(1)>\u202e\x1b[2J" + "x" * 500
    await box.present(made["code"], name=name, hostname="h\u2066\n" * 50, platform="\x00")
    shown = (await seen(here.member, made))["machine"]
    assert shown["name"].startswith("<img src=x onerror=alert(1)>[2Jx")
    assert len(shown["name"]) == 64
    assert len(shown["hostname"]) <= 128
    assert not any(sign in str(shown) for sign in "\u202e\u2066\x1b\x00\n")
    await confirm(here.member, made, box.fingerprint)
    await box.collect()
    async with here.anonymous(headers=here.member.headers) as client:
        answer = await client.get("/api/v1/runners")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff", "markup in it is text"
    runner = await box.connect(name=name)
    (view,) = (await here.member.http.get("/api/v1/runners")).json()["runners"]
    assert len(view["name"]) == 64
    assert not any(sign in view["name"] for sign in "\u202e\x1b")
    await runner.connection.close()


@pytest.mark.parametrize("field", ["name", "hostname", "platform"])
async def test_a_name_beyond_all_measure_is_refused(here, machine, field):
    box = await machine()
    made = await start(here.member)
    assert (await box.present(made["code"], **{field: "x" * 2000})).status_code == 422


# --- limits --------------------------------------------------------------------------------------


async def test_a_code_lasts_five_minutes(here, machine, monkeypatch):
    assert timedelta(minutes=5) == service.CODE_LIFE
    monkeypatch.setattr(service, "CODE_LIFE", timedelta(0))
    box = await machine()
    made = await start(here.member)
    answer = await box.present(made["code"])
    assert answer.status_code == 410
    assert (await seen(here.member, made))["state"] == "expired"
    assert (await here.member.http.get("/api/v1/pairings")).json()["pairings"] == []


async def test_a_decision_must_come_in_time(here, machine, monkeypatch):
    monkeypatch.setattr(service, "DECISION_LIFE", timedelta(0))
    box = await machine()
    made = await start(here.member)
    await box.present(made["code"])
    assert (await confirm(here.member, made, box.fingerprint)).status_code == 410
    assert (await box.collect()).json()["state"] == "expired"


async def test_guessing_is_limited_by_address_on_every_route(here, machine):
    """A second, unthrottled route once let codes be guessed: presenting and collecting share."""
    box = await machine()
    statuses = []
    for number in range(LIMITS.address.burst + 2):
        wrong = pairing.new_code(number.to_bytes(7, "big"))
        if number % 2:
            statuses.append((await box.present(pairing.show_code(wrong))).status_code)
        else:
            statuses.append((await box.collect(f"nosuchpairing{number}")).status_code)
    assert set(statuses[: LIMITS.address.burst]) == {401, 410}
    assert set(statuses[LIMITS.address.burst :]) == {429}
    made = await start(here.member)
    answer = await box.present(made["code"])
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert (await start(here.member))["code"], "the owner is not locked out"


async def test_guessing_at_one_code_is_limited_wherever_it_comes_from(here, machine):
    assert LIMITS.code is not None
    box = await machine()
    made = await start(here.member)
    statuses = [
        (await box.present(made["code"], origin="https://evil.example")).status_code
        for _ in range(CODE_BURST + 1)
    ]
    assert statuses == [401] * CODE_BURST + [429]


async def test_one_person_has_so_many_pairings_under_way(here, monkeypatch):
    monkeypatch.setattr(service, "MAX_OPEN", 2)
    made = [await start(here.member) for _ in range(2)]
    full = await here.member.http.post("/api/v1/pairings", json={})
    assert full.status_code == 429
    assert (await start(here.other))["code"], "which does not concern others"
    await here.member.http.post(f"/api/v1/pairings/{made[0]['id']}/refuse", json={})
    assert (await start(here.member))["code"]


# --- whose it is ---------------------------------------------------------------------------------


async def test_a_pairing_is_its_persons_own(here, machine):
    box = await machine()
    made = await start(here.member)
    await box.present(made["code"])
    for stranger in (here.other, here.owner):
        assert (await stranger.http.get(f"/api/v1/pairings/{made['id']}")).status_code == 404
        assert (await confirm(stranger, made, box.fingerprint)).status_code == 404
        path = f"/api/v1/pairings/{made['id']}/refuse"
        assert (await stranger.http.post(path, json={})).status_code == 404
        assert (await stranger.http.get("/api/v1/pairings")).json()["pairings"] == []
    (mine,) = (await here.member.http.get("/api/v1/pairings")).json()["pairings"]
    assert (mine["id"], mine["state"]) == (made["id"], "presented")


async def test_refusing_voids_it(here, machine):
    box = await machine()
    made = await start(here.member)
    await box.present(made["code"])
    refused = await here.member.http.post(f"/api/v1/pairings/{made['id']}/refuse", json={})
    assert refused.json()["state"] == "refused"
    assert (await box.collect()).json() | {"challenge": ""} == {
        "state": "refused",
        "detail": "You refused it.",
        "challenge": "",
        "runnerId": None,
        "name": None,
        "tokens": None,
    }
    assert (await confirm(here.member, made, box.fingerprint)).status_code == 409
    assert (await box.present(made["code"])).status_code == 410


async def test_what_has_been_paired_is_revoked_not_refused(here, machine):
    box = await machine()
    made = await start(here.member)
    await box.present(made["code"])
    await confirm(here.member, made, box.fingerprint)
    await box.collect()
    refused = await here.member.http.post(f"/api/v1/pairings/{made['id']}/refuse", json={})
    assert (refused.status_code, refused.json()["remedy"]) == (409, "Revoke the runner.")


async def test_a_person_who_is_removed_pairs_nothing_more(here, machine):
    box = await machine()
    made = await start(here.member)
    await box.present(made["code"])
    await confirm(here.member, made, box.fingerprint)
    await here.plane.revoke_runners_of(here.member.actor.person_id)
    assert (await box.collect()).json()["state"] == "refused"
