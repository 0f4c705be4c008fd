"""The folder a session works in: an existing one, or a fresh git worktree of a repository."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from earthshine.protocols.envelope import Worktree

GIT_TIMEOUT: Final = 120.0
"""Seconds: a checkout of a large repository takes a while."""
MAX_FOLDERS: Final = 500
"""Entries of one listing."""


class WorkspaceError(Exception):
    """The folder cannot be used: `code`, words, and what to do."""

    def __init__(self, code: str, detail: str, remedy: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where to work; `branch` of the worktree, if it is one."""

    folder: Path
    branch: str | None = None


async def prepare(folder: str | None, worktree: Worktree | None, target: Path) -> Workspace:
    """Check the folder, or make the worktree at `target`. Raises WorkspaceError."""
    if worktree is None:
        return Workspace(await asyncio.to_thread(_existing, folder or "~"))
    repository = await asyncio.to_thread(_existing, worktree.repository)
    if await asyncio.to_thread(_make_parent, target):  # a repeated start
        return Workspace(target, worktree.branch)
    arguments = ["worktree", "add", "-b", worktree.branch, str(target)]
    if worktree.base:
        arguments.append(worktree.base)
    await _git(repository, *arguments)
    return Workspace(target, worktree.branch)


async def discard(target: Path) -> None:
    """Remove a worktree that holds no work: git refuses one with changes, and then it stays."""
    with contextlib.suppress(WorkspaceError):
        await _git(target, "worktree", "remove", str(target))


def _make_parent(target: Path) -> bool:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return target.exists()


async def _git(repository: Path, *arguments: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            "git",
            "-C",
            str(repository),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise WorkspaceError(
            "git-missing", "git was not found on the runner", "install git there"
        ) from None
    try:
        async with asyncio.timeout(GIT_TIMEOUT):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise WorkspaceError("worktree-failed", "git did not finish in time") from None
    if process.returncode:
        words = output.decode(errors="replace").strip().splitlines()
        raise WorkspaceError(
            "worktree-failed",
            f"git could not make the worktree: {words[-1] if words else 'no reason given'}"[:500],
            "choose another branch name, or check the repository",
        )


def _existing(folder: str) -> Path:
    path = Path(os.path.expanduser(folder))
    if not path.is_absolute():
        raise WorkspaceError(
            "folder-invalid", f"{folder} is not a full path", "begin it with / or ~"
        )
    try:
        is_folder = path.is_dir()
    except OSError:  # a name that is too long, a loop of links
        is_folder = False
    if not is_folder:
        raise WorkspaceError(
            "folder-missing",
            f"the working folder {folder} does not exist on the runner",
            "create it there or choose another",
        )
    if not os.access(path, os.R_OK | os.X_OK):
        raise WorkspaceError(
            "folder-forbidden", f"the runner may not enter {folder}", "check its permissions"
        )
    return path


async def list_folders(folder: str) -> dict[str, Any]:
    """The folders inside `folder`, hidden ones last. Raises WorkspaceError."""
    return await asyncio.to_thread(_list, folder)


def _list(folder: str) -> dict[str, Any]:
    path = _existing(folder or "~")
    try:
        with os.scandir(path) as entries:
            names = sorted(
                (entry.name for entry in entries if _is_folder(entry)),
                key=lambda name: (name.startswith("."), name.casefold()),
            )
    except OSError as error:
        raise WorkspaceError("folder-forbidden", f"{folder}: {error.strerror}") from None
    return {
        "path": str(path),
        "parent": None if path.parent == path else str(path.parent),
        "folders": [
            {"name": n, "path": str(path / n), "isRepository": (path / n / ".git").exists()}
            for n in names[:MAX_FOLDERS]
        ],
        "truncated": len(names) > MAX_FOLDERS,
    }


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
