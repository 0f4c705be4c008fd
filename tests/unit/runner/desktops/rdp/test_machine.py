"""The machine's own login, with a fake chpasswd that keeps what it was told."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from earthshine.protocols.envelope import AdjustRdp, LendRdp
from earthshine.runner.desktops.keeper import DesktopError
from earthshine.runner.desktops.rdp.machine import INITIAL, InitialPasswordError, MachineRdp
from earthshine.runner.desktops.rdp.settings import RdpSettings

USER = "nobody"
LONG = "a password of one's own"


class _DoneError(Exception):
    pass


class Machine:
    def __init__(self, folder: Path, user: str = USER) -> None:
        self._told = folder / "told"
        self.chpasswd = folder / "chpasswd"
        self.chpasswd.write_text(
            f'#!/bin/sh\necho "$#" > {folder}/arguments\ncat >> {self._told}\n'
        )
        self.chpasswd.chmod(0o755)
        self.rdp = MachineRdp(RdpSettings(user=user, port=3390), str(self.chpasswd))

    @property
    def told(self) -> list[str]:
        return self._told.read_text().splitlines() if self._told.exists() else []

    @asynccontextmanager
    async def running(self, *, production: bool = False) -> AsyncIterator[Machine]:
        try:
            async with asyncio.TaskGroup() as tasks:
                await self.rdp.begin(tasks, production=production)
                yield self
                raise _DoneError
        except* _DoneError:
            pass


@pytest.fixture(autouse=True)
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv(INITIAL, raising=False)


def wish(seconds: float = 60) -> LendRdp:
    return LendRdp(request_id="", by="Ada", view_only=False, seconds=seconds)


async def test_each_login_has_a_new_password(tmp_path, monkeypatch):
    monkeypatch.setenv(INITIAL, LONG)
    async with Machine(tmp_path).running(production=True) as machine:
        assert INITIAL not in os.environ, "agents do not get it"
        one = await machine.rdp.lend(wish())
        other = await machine.rdp.lend(wish())
    assert (one.user, one.destination) == (USER, "127.0.0.1:3390")
    assert one.password != other.password
    told = [f"{USER}:{LONG}", f"{USER}:{one.password}", f"{USER}:{other.password}"]
    assert machine.told == told
    assert (tmp_path / "arguments").read_text() == "0\n", "nothing on the command line"


async def test_what_has_expired_or_was_withdrawn_is_replaced(tmp_path, eventually):
    async with Machine(tmp_path).running() as machine:
        expired = await machine.rdp.lend(wish(0.05))
        assert await eventually(lambda: len(machine.told) == 3)
        offer = await machine.rdp.lend(wish())
        for offer_id in (expired.offer_id, offer.offer_id, offer.offer_id):
            gone = AdjustRdp(request_id="", offer_id=offer_id, by="Ada", withdrawn=True)
            await machine.rdp.adjust(gone)
    assert len(machine.told) == 5
    assert len(set(machine.told)) == 5


async def test_in_production_the_first_password_is_needed(tmp_path, monkeypatch):
    for given in ("", "short"):
        monkeypatch.setenv(INITIAL, given)
        with pytest.raises(BaseExceptionGroup) as refused:
            async with Machine(tmp_path).running(production=True):
                pass
        assert refused.group_contains(InitialPasswordError, match=INITIAL)


async def test_in_development_it_is_random_and_said(tmp_path, caplog):
    async with Machine(tmp_path).running() as machine:
        assert "RDP_PASSWORD is not set" in caplog.text
        [told] = machine.told
        assert told.partition(":")[2] not in caplog.text


async def test_without_a_user_nothing_is_touched(tmp_path):
    async with Machine(tmp_path, user="").running(production=True) as machine:
        with pytest.raises(DesktopError, match="set runner"):
            await machine.rdp.lend(wish())
    assert machine.told == []


@pytest.mark.parametrize(
    ("user", "words"), [("root", "does not log in as root"), ("nosuchuser", "no user nosuchuser")]
)
def test_users_that_it_does_not_lend(tmp_path, user, words):
    assert words in Machine(tmp_path, user).rdp.problem()


def test_without_root_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("nobody").pw_uid)
    assert "root" in Machine(tmp_path).rdp.problem()


async def test_a_chpasswd_that_fails_has_words(tmp_path):
    async with Machine(tmp_path).running() as machine:
        machine.chpasswd.write_text("#!/bin/sh\nexit 1\n")
        with pytest.raises(DesktopError, match="could not be set"):
            await machine.rdp.lend(wish())
