"""Browsers for tests of the UI: Debian's Chromium, without a sandbox, one context per test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.e2e import scenes
from tests.e2e.fake_control_plane import UI, FakeControlPlane
from tests.e2e.pages import EarthshinePages

CHROMIUM = "/usr/bin/chromium"
PATIENCE_MS = 15_000
expect.set_options(timeout=PATIENCE_MS)
WIDE: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
SHOTS = os.environ.get("EARTHSHINE_TEST_SCREENSHOTS")
"""Folder that keeps the pictures; a temporary one when not set."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser per module: Playwright's event loop must not meet async tests."""
    if shutil.which(CHROMIUM) is None:
        pytest.skip(f"there is no {CHROMIUM}: install the package chromium")
    if not (UI / "index.html").is_file():
        pytest.skip("the UI is not built: run `make ui`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def plane() -> Iterator[FakeControlPlane]:
    """A fake control plane with machines, and no session yet."""
    fake = FakeControlPlane()
    scenes.runners(fake)
    with fake.running():
        yield fake


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    folder = Path(SHOTS) if SHOTS else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A wide window; what goes wrong inside the page fails the test."""
    context = chromium.new_context(viewport=WIDE, color_scheme="dark", reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def phone(chromium: Browser) -> Iterator[Page]:
    """A phone: touch, a coarse pointer, a narrow window."""
    context = chromium.new_context(
        viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="dark", reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


@pytest.fixture(params=["wide", "phone"])
def look(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[tuple[str, Page]]:
    """A size, and a page of it."""
    phone = request.param == "phone"
    context = chromium.new_context(
        viewport=PHONE if phone else WIDE,
        has_touch=phone,
        is_mobile=phone,
        color_scheme="dark",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_MS)
    yield request.param, context.new_page()
    context.close()


@pytest.fixture
def app(page: Page, plane: FakeControlPlane) -> EarthshinePages:
    return EarthshinePages(page, plane.url)


@pytest.fixture
def mobile(phone: Page, plane: FakeControlPlane) -> EarthshinePages:
    return EarthshinePages(phone, plane.url)
