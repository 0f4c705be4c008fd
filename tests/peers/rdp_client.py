"""xfreerdp on a screen of its own, which a test can look at and type into."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from earthshine.runner.desktops import x11
from earthshine.runner.desktops.backends import Display, DisplaySpec, choose

SHIFT = "Shift_L"
STOP_SECONDS = 5.0
KEY_PRESS, KEY_RELEASE, BUTTON_PRESS, BUTTON_RELEASE, MOTION = 2, 3, 4, 5, 6


class Screen:
    """An Xvfb."""

    def __init__(self, display: Display) -> None:
        self.environment = display.environment
        self._connection = x11.connect(display.name, str(display.authority))

    def close(self) -> None:
        x11.disconnect(self._connection)

    def grabbed(self) -> Any:
        """What it shows: height x width x RGB."""
        width, height = x11.screen_size(self._connection)
        root = self._connection.screen().root
        image = root.get_image(0, 0, width, height, x11.X.ZPixmap, 0xFFFFFFFF)
        return np.frombuffer(image.data, np.uint8).reshape(height, width, 4)[:, :, 2::-1]

    def click(self, x: int, y: int) -> None:
        self._fake(MOTION, x=x, y=y)
        self._fake(BUTTON_PRESS, 1)
        self._fake(BUTTON_RELEASE, 1)
        self._connection.sync()

    def type(self, text: str) -> None:
        """As a person does, with a US keyboard."""
        for sign in text:
            shifted = sign.isupper()
            name = {" ": "space", "\n": "Return", "-": "minus"}.get(sign, sign.lower())
            code = self._code(name)
            if shifted:
                self._fake(KEY_PRESS, self._code(SHIFT))
            self._fake(KEY_PRESS, code)
            self._fake(KEY_RELEASE, code)
            if shifted:
                self._fake(KEY_RELEASE, self._code(SHIFT))
        self._connection.sync()

    def _code(self, name: str) -> int:
        from Xlib import XK

        code = self._connection.keysym_to_keycode(XK.string_to_keysym(name))
        assert code, name
        return int(code)

    def _fake(self, kind: int, detail: int = 0, x: int = 0, y: int = 0) -> None:
        from Xlib.ext import xtest

        xtest.fake_input(self._connection, kind, detail, x=x, y=y)


@contextlib.asynccontextmanager
async def screen(width: int, height: int) -> AsyncIterator[Screen]:
    """A screen with nothing on it."""
    with tempfile.TemporaryDirectory(prefix="earthshine-test-", dir="/tmp") as folder:
        own = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "XAUTHORITY")}
        spec = DisplaySpec(
            backend="xvfb", runtime=Path(folder), width=width, height=height, environment=own
        )
        display = choose(spec)
        await display.start()
        shown = Screen(display)
        try:
            yield shown
        finally:
            shown.close()
            await display.stop()


class FreeRdp:
    """One xfreerdp."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def output(self) -> str:
        return self._log.read_text(errors="replace")


@contextlib.asynccontextmanager
async def xfreerdp(
    shown: Screen,
    connection: dict[str, Any],
    folder: Path,
    *,
    prefix: Sequence[str] = (),
    password: str | None = None,
) -> AsyncIterator[FreeRdp]:
    """Connect as `rdp-connection` says: with its file, and the certificate it names."""
    file = folder / "desktop.rdp"
    file.write_text(connection["file"], newline="")
    log = folder / f"xfreerdp-{connection['port']}.log"
    command = ["xfreerdp", str(file), "-decorations", "/sec:tls"]
    # On the command line, because only then xfreerdp logs on by itself; the password is good once.
    command.append(f"/p:{password or connection['password']}")
    print_ = ":".join(connection["fingerprint"][i : i + 2] for i in range(0, 64, 2))
    command.append(f"/cert:fingerprint:sha256:{print_}")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **shown.environment, "HOME": str(folder)},
        )
    try:
        yield FreeRdp(process, log)
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
