"""Sessions' folders for files: on the disk, and nothing outside of them.

Reads and writes the disk; for a thread. The agent can write there too, so nothing found in a folder
is trusted: links are not followed, and only plain files are files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from earthshine.protocols import filenames
from earthshine.protocols.transfer import MAX_FILES, FileEntry, Files
from earthshine.runner.transfers.settings import FileSettings

VARIABLE: Final = "EARTHSHINE_FILES"
"""In the environment of agents and of their desktops: the folder's path."""
HIDDEN: Final = ".earthshine"
"""In a working folder: what holds the session's folder."""
_ID: Final = frozenset("0123456789abcdefghijklmnopqrstuvwxyz-")
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class FileError(Exception):
    """A file cannot be stored or read: `code`, words, and what to do."""

    def __init__(self, code: str, detail: str, remedy: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.remedy = remedy


@dataclass(slots=True)
class Unfinished:
    """A file on its way: nobody sees it under its name yet."""

    name: str
    temporary: str
    size: int
    folder: int
    """Descriptor of the folder it is in."""
    file: IO[bytes]
    path: Path


class FileFolders:
    """The folders of this runner's sessions."""

    def __init__(self, state: Path, settings: FileSettings) -> None:
        self._state = state / "files"
        own = settings.folder
        # Links on the way to it are its owner's; those inside are not followed.
        self._base = Path(os.path.realpath(own.expanduser() if own else self._state))
        self._settings = settings
        self._on_the_way: dict[str, int] = {}
        """Bytes that were promised to uploads of a session."""

    @property
    def enabled(self) -> bool:
        """Whether files are taken at all."""
        return self._settings.enabled

    # --- folders ---------------------------------------------------------------------------------

    def prepare(self, session_id: str, working_folder: str) -> Path | None:
        """Make a session's folder, before its agent starts; None where files are switched off.

        Raises FileError.
        """
        if not self.enabled:
            return None
        path = self._base / session_id
        try:
            if self._settings.in_working_folder:
                hidden = Path(working_folder) / HIDDEN
                hidden.mkdir(exist_ok=True, mode=0o700)
                ignore = hidden / ".gitignore"
                if not ignore.exists():
                    ignore.write_text("*\n")
                path = hidden / session_id
                self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._record(session_id).write_text(str(path))
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise _storage(error) from None
        return path

    def _record(self, session_id: str) -> Path:
        """Where stands which working folder has a session's folder."""
        return self._state / f"{session_id}.path"

    def path(self, session_id: str) -> Path:
        """Where a session's folder is, or would be."""
        if not session_id or not set(session_id) <= _ID:
            raise FileError("no-session", "that is no session")
        with contextlib.suppress(OSError, ValueError):
            recorded = Path(self._record(session_id).read_text())
            if recorded.name == session_id and recorded.parent.name == HIDDEN:
                return recorded
        return self._base / session_id

    @contextlib.contextmanager
    def _opened(self, session_id: str) -> Iterator[tuple[int, Path]]:
        """A descriptor of the folder: what is renamed or linked meanwhile leads nowhere else."""
        if not self.enabled:
            raise FileError(
                "files-off",
                "this machine takes and gives no files",
                "whoever runs it can set runner.files.enabled",
            )
        path = self.path(session_id)
        try:
            above = os.open(path.parent, _DIRECTORY)
            try:
                folder = os.open(path.name, _DIRECTORY, dir_fd=above)
            finally:
                os.close(above)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise FileError("no-folder", "the session has no folder for files") from None
            raise _storage(error) from None
        try:
            yield folder, path
        finally:
            os.close(folder)

    def forget(self, session_id: str) -> None:
        """Remove a session's files."""
        path = self.path(session_id)
        shutil.rmtree(path, ignore_errors=True)
        self._record(session_id).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what uploads left behind that a killed runner was taking."""
        with contextlib.suppress(OSError):
            sessions = {p.stem for p in self._state.glob("*.path")}
            sessions |= {p.name for p in self._base.iterdir() if p.is_dir()}
            for session_id in sessions:
                with contextlib.suppress(FileError), self._opened(session_id) as (folder, _):
                    for name in os.listdir(folder):  # noqa: PTH208  by descriptor
                        if name.startswith(filenames.UNFINISHED):
                            os.unlink(name, dir_fd=folder)

    # --- files -----------------------------------------------------------------------------------

    def list(self, session_id: str) -> Files:
        """What can be fetched, by name. Raises FileError."""
        found: list[FileEntry] = []
        unlisted = 0
        with self._opened(session_id) as (folder, path):
            for name, status in _entries(folder):
                if len(found) >= MAX_FILES or not _is_listed(name, status):
                    unlisted += 1
                    continue
                modified = max(0, status.st_mtime_ns // 1_000_000)
                found.append(FileEntry(name=name, size=status.st_size, modified=modified))
        found.sort(key=lambda entry: entry.name)
        return Files(
            folder=str(path),
            files=found,
            unlisted=unlisted,
            max_file=self._settings.max_file,
            max_total=self._settings.max_total,
        )

    def read(self, session_id: str, name: str) -> tuple[IO[bytes], int]:
        """A file to read from, and its size. Raises FileError."""
        _check(name)
        with self._opened(session_id) as (folder, _):
            try:
                # Without O_NONBLOCK a pipe that the agent made would hold us up for ever.
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                file = os.fdopen(os.open(name, flags, dir_fd=folder), "rb", 0)
            except OSError as error:
                raise _unreadable(name, error) from None
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            file.close()
            raise FileError("no-file", f"{name} is no plain file")
        return file, status.st_size

    def begin(self, session_id: str, name: str, size: int, *, replace: bool) -> Unfinished:
        """Make room for a file; `finish` or `discard` must follow. Raises FileError."""
        _check(name)
        if size > self._settings.max_file:
            raise FileError(
                "too-large",
                f"{name} has {_megabytes(size)}; "
                f"this machine takes {_megabytes(self._settings.max_file)}",
                "make it smaller, or raise runner.files.max_file there",
            )
        with self._opened(session_id) as (folder, path):
            self._check_room(session_id, folder, name, size, replace=replace)
            temporary = f"{filenames.UNFINISHED}{secrets.token_hex(8)}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                kept = os.dup(folder)
                file = os.fdopen(os.open(temporary, flags, 0o600, dir_fd=folder), "wb", 0)
            except OSError as error:
                raise _storage(error) from None
        self._on_the_way[session_id] = self._on_the_way.get(session_id, 0) + size
        return Unfinished(name, temporary, size, kept, file, path / name)

    def _check_room(
        self, session_id: str, folder: int, name: str, size: int, *, replace: bool
    ) -> None:
        total = self._on_the_way.get(session_id, 0)
        count = 0
        for other, status in _entries(folder):
            if other == name:
                if stat.S_ISDIR(status.st_mode):
                    raise FileError("exists", f"{name} is a folder there", "choose another name")
                if not replace:
                    raise _exists(name)
            elif stat.S_ISREG(status.st_mode):
                count += 1
                total += status.st_size if not other.startswith(filenames.UNFINISHED) else 0
        if count >= MAX_FILES:
            raise FileError(
                "too-many-files", f"the session has {MAX_FILES} files", "delete some of them there"
            )
        if total + size > self._settings.max_total:
            raise FileError(
                "too-large",
                f"the session's files would have more than {_megabytes(self._settings.max_total)}",
                "delete some of them there, or raise runner.files.max_total",
            )

    def finish(self, session_id: str, unfinished: Unfinished, *, replace: bool) -> None:
        """All of it is here: give it its name. Raises FileError, and then nothing is left."""
        try:
            os.fsync(unfinished.file.fileno())
            unfinished.file.close()
            folder = unfinished.folder
            if replace:
                os.rename(
                    unfinished.temporary, unfinished.name, src_dir_fd=folder, dst_dir_fd=folder
                )
            else:
                _rename_to_new(unfinished.temporary, unfinished.name, folder)
        except FileExistsError:
            raise _exists(unfinished.name) from None
        except OSError as error:
            raise _storage(error) from None
        finally:
            self.discard(session_id, unfinished)

    def discard(self, session_id: str, unfinished: Unfinished) -> None:
        """It does not come to an end: nothing is left of it."""
        if unfinished.folder < 0:
            return
        with contextlib.suppress(OSError):
            unfinished.file.close()
        with contextlib.suppress(OSError):
            os.unlink(unfinished.temporary, dir_fd=unfinished.folder)
        os.close(unfinished.folder)
        unfinished.folder = -1
        left = self._on_the_way.get(session_id, 0) - unfinished.size
        if left > 0:
            self._on_the_way[session_id] = left
        else:
            self._on_the_way.pop(session_id, None)


def write(unfinished: Unfinished, data: bytes) -> None:
    """The next bytes of it. Raises FileError."""
    try:
        view = memoryview(data)
        while view:
            view = view[unfinished.file.write(view) :]
    except OSError as error:
        raise _storage(error) from None


def _rename_to_new(temporary: str, name: str, folder: int) -> None:
    """Without taking the place of another. Raises FileExistsError."""
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        # A file system without hard links: an empty file keeps the place for a moment.
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder))
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def _entries(folder: int) -> Iterator[tuple[str, os.stat_result]]:
    for name in os.listdir(folder):
        with contextlib.suppress(OSError):
            yield name, os.stat(name, dir_fd=folder, follow_symlinks=False)


def _is_listed(name: str, status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and filenames.is_fine(name)


def _check(name: str) -> None:
    try:
        filenames.check(name)
    except ValueError as error:
        raise FileError("bad-name", str(error) or "that is no name") from None


def _exists(name: str) -> FileError:
    return FileError(
        "exists", f"there is a file {name} already", "replace it, or choose another name"
    )


def _unreadable(name: str, error: OSError) -> FileError:
    if error.errno == errno.ELOOP:
        return FileError("no-file", f"{name} is a link, and links are not followed")
    if error.errno == errno.ENOENT:
        return FileError("no-file", f"there is no file {name}", "look at the list again")
    return FileError("unreadable", f"{name} cannot be read: {error.strerror}")


def _storage(error: OSError) -> FileError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FileError(
            "disk-full", "there is no space left on that machine", "free some space there"
        )
    return FileError("storage", f"it cannot be stored there: {error.strerror}")


def _megabytes(size: int) -> str:
    return f"{size / 1024**2:.0f} MiB" if size < 10 * 1024**3 else f"{size / 1024**3:.0f} GiB"
