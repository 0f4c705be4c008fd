"""The walk through trust on the real thing: first run, a machine behind a NAT paired by code, a
session there shared with a second person who may only look, the machine revoked.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.e2e.conftest import PHONE, WIDE
from tests.e2e.pages import EarthshinePages
from tests.peers.netns import NatWorld, nat_world, why_not
from tests.world import READY, Program, World, free_port, wait_for

REASON = why_not()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.skipif(REASON is not None, reason=f"no network namespaces: {REASON}"),
]


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, NatWorld]]:
    """A control plane with a certificate of its own that lets only paired runners in."""
    with nat_world() as net:
        port = free_port()
        world = World(
            tmp_path_factory.mktemp("walk"),
            host=net.control_address,
            port=port,
            control={
                "EARTHSHINE_PUBLIC_URL": f"https://{net.control_address}:{port}",
                "EARTHSHINE_TLS_SELF_MADE": "true",
                "EARTHSHINE_PREVIEW_MODE": "off",
                "EARTHSHINE_RUNNER_TOKEN_ENABLED": "false",
            },
        )
        world.url = f"https://{net.control_address}:{port}"
        try:
            world.start_control()
            yield world, net
        finally:
            world.close()


class Machine:
    """The other machine: folders of its own, commands that run behind the NAT."""

    def __init__(self, world: World, net: NatWorld) -> None:
        self._world = world
        self._prefix = tuple(net.runner_ns.argv([]))
        self._environment = world.environment(
            XDG_DATA_HOME=str(world.root / "far-data"),
            EARTHSHINE_RUNNER_STATE_DIR=str(world.root / "far"),
        )

    def program(self, log: str, *arguments: str) -> Program:
        program = Program(
            ["runner", *arguments], self._world.root / log, self._environment, self._prefix
        )
        self._world.runners.append(program)
        return program

    def status(self) -> dict[str, object]:
        command = [*self._prefix, sys.executable, "-m", "earthshine.cli", "runner", "status"]
        done = subprocess.run(
            [*command, "--json"],
            capture_output=True,
            text=True,
            env=self._environment,
            timeout=60,
            check=True,
        )
        found: dict[str, object] = json.loads(done.stdout)
        return found


def browser_of(chromium: Browser, **how: object) -> BrowserContext:
    """One person's browser: it was told once to trust the server's own certificate."""
    context = chromium.new_context(
        color_scheme="dark",
        ignore_https_errors=True,
        **how,  # type: ignore[arg-type]
    )
    context.set_default_timeout(20_000)
    return context


def dialog_of(page: Page, name: str) -> Locator:
    return page.get_by_role("dialog", name=name)


def test_from_first_run_to_revocation(
    far: tuple[World, NatWorld], chromium: Browser, shots: Path
) -> None:
    world, net = far
    machine = Machine(world, net)
    owners, seconds = browser_of(chromium, viewport=WIDE), browser_of(chromium, viewport=PHONE)
    owner = EarthshinePages(owners.new_page(), world.url)

    # First run: the server's own output has the one link that works, once.
    (link,) = READY.findall(world.control.output())[-1:]
    owner.sign_in(link)
    expect(owner.page.get_by_text("one-time link").first).to_be_visible()
    owner.page.screenshot(path=shots / "walk-1-first-run.png")
    again = EarthshinePages(seconds.new_page(), world.url)
    again.page.goto(f"{world.url}/#sign-in={link}")
    expect(again.page.get_by_text(re.compile("expired|used already")).first).to_be_visible()

    # Pair a machine in another network, by code.
    runners = owner.open_runners()
    runners.get_by_role("button", name="Add a machine").first.click()
    adding = runners.get_by_role("dialog")
    expect(adding).to_contain_text("Waiting for the machine")
    owner.page.screenshot(path=shots / "walk-2-code.png")
    adding.get_by_role("button", name="Copy the command").click()
    command = adding.locator("code, pre").filter(has_text="earthshine runner pair").first
    words = command.inner_text().split()
    pairing = machine.program("pairing.log", "pair", *words[3:], "--name", "far", "--json")
    pairing.start()
    expect(adding.get_by_role("heading")).to_have_text("Is this your machine?", timeout=30_000)
    expect(adding).to_contain_text(net.nat_address)
    shown = adding.get_by_label("Fingerprint", exact=True).inner_text()
    said = wait_for(
        lambda: [json.loads(x) for x in pairing.output().splitlines() if x.startswith("{")],
        20,
        "the fingerprint on the machine",
    )
    assert re.sub(r"\W", "", shown) == re.sub(r"\W", "", str(said[0]["fingerprint"]))
    owner.page.screenshot(path=shots / "walk-3-is-this-your-machine.png")
    adding.get_by_role("button", name="The fingerprints are the same").click()
    expect(adding).to_contain_text("far is paired", timeout=30_000)
    wait_for(lambda: not pairing.is_running(), 20, "the end of pairing")
    runner = machine.program("far.log")
    runner.start()
    expect(adding).to_contain_text("far is connected", timeout=60_000)
    owner.page.screenshot(path=shots / "walk-4-connected.png")
    adding.get_by_role("button", name="Done").click()
    assert machine.status()["paired"]

    # Start a session there.
    owner.page.get_by_role("link", name="Sessions").click()
    session = owner.sessions().new_session().start()
    session.wait_live()
    session.type("echo $((6 * 7)) from $(hostname)\n")
    session.wait_text("42 from")
    address = owner.page.url

    # Share it with a second person, in a second browser.
    made = world.api("POST", "/people", {"name": "otto"})
    otto = again
    otto.page.goto("about:blank")
    otto.sign_in(made["link"]["url"].partition("#sign-in=")[2])
    expect(otto.page.get_by_text("42 from")).to_have_count(0)
    session.bar.get_by_role("button", name="Share").click()
    sharing = dialog_of(owner.page, "Share this session")
    sharing.get_by_label("Name").fill("otto")
    sharing.get_by_label("Role", exact=True).select_option("May watch")
    sharing.get_by_role("button", name="Share", exact=True).click()
    expect(sharing.get_by_role("listitem", name="otto")).to_be_visible()
    owner.page.screenshot(path=shots / "walk-5-shared.png")
    sharing.get_by_role("button", name="Close").click()

    # They see, but cannot type.
    watching = otto.open_session(address.rsplit("/", 1)[1])
    watching.wait_text("42 from", 30)
    expect(otto.page.get_by_text("You are watching").first).to_be_visible()
    otto.page.screenshot(path=shots / "walk-6-watching-on-a-phone.png")
    watching.focus_terminal()
    otto.page.keyboard.type("echo otto-was-here\n")
    session.type("echo still $((40 + 4))\n")
    session.wait_text("still 44")
    watching.wait_text("still 44")
    assert "otto-was-here" not in session.text()

    # Revoke the machine, and watch it go.
    runners = owner.open_runners()
    runners.get_by_role("button", name="More about far").click()
    runners.get_by_role("menuitem", name="Revoke").click()
    confirm = owner.page.locator("es-confirm")
    owner.page.screenshot(path=shots / "walk-7-revoke.png")
    began = time.monotonic()
    confirm.get_by_role("button", name=re.compile("Revoke")).click()
    expect(runners.get_by_role("region", name="far")).to_contain_text(re.compile("[Rr]evoked"))
    wait_for(lambda: not runner.is_running(), 10, lambda: runner.output()[-2000:])
    assert time.monotonic() - began < 10
    owner.page.screenshot(path=shots / "walk-8-revoked.png")
    expect(otto.page.get_by_text("The session's runner was revoked")).to_be_visible()
    otto.page.screenshot(path=shots / "walk-9-gone.png")
    owners.close()
    seconds.close()
