"""The policy as a file: read at start, and again whenever it changes."""

from __future__ import annotations

import asyncio
import logging
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from earthshine.runner.policy.rules import Policy, PolicyError, Rules

MAX_FILE: Final = 64 * 1024
"""Bytes of a policy."""
LOOK_SECONDS: Final = 2.0
"""Between looks at the file."""
log = logging.getLogger(__name__)


def read(path: Path, *, required: bool = False) -> Policy:
    """The policy in a file; the default if there is none and none is `required`.

    Raises PolicyError.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        if required:
            raise PolicyError(f"the policy file {path} does not exist") from None
        return Policy()
    except OSError as error:
        raise PolicyError(f"the policy file {path} cannot be read: {error.strerror}") from None
    if mode & 0o022:
        raise PolicyError(f"others can change the policy file: run `chmod go-w {path}`")
    if len(data) > MAX_FILE:
        raise PolicyError(f"the policy file {path} is larger than {MAX_FILE} bytes")
    try:
        rules = msgspec.convert(tomllib.loads(data.decode()), Rules)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise PolicyError(f"{path}: {error}") from None
    except RecursionError:
        raise PolicyError(f"{path}: nested too deeply") from None
    return Policy(rules, path)


class PolicyInForce:
    """The policy of a running runner. `watch` it.

    A change that cannot be understood, and the file's disappearance, leave the last good policy in
    force: a mistake must not open what was closed.
    """

    def __init__(self, path: Path, *, required: bool = False) -> None:
        """Reads the file. Raises PolicyError."""
        self._path = path
        self._state = self._look()
        self.current = read(path, required=required)
        self.on_change: Callable[[], None] = lambda: None

    def __call__(self) -> Policy:
        """The policy now."""
        return self.current

    async def watch(self) -> None:
        """Take up changes, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> bool:
        """Whether another policy is in force now."""
        state = await asyncio.to_thread(self._look)
        if state == self._state:
            return False
        self._state = state
        try:
            self.current = await asyncio.to_thread(
                read, self._path, required=self.current.source is not None
            )
        except PolicyError as error:
            log.error(  # noqa: TRY400  what is wrong is in the file, not in the code
                "the changed policy is not used, the last good one stays: %s", error
            )
            return False
        log.info("the policy has changed", extra={"file": str(self._path)})
        self.on_change()
        return True

    def _look(self) -> tuple[int, ...]:
        try:
            status = self._path.stat()
        except OSError:
            return ()
        return (
            status.st_dev,
            status.st_ino,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_size,
        )
