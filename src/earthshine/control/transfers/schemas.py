"""What the API says about files."""

from datetime import datetime

from earthshine.control.schema import View


class FileView(View):
    """A file that can be fetched."""

    name: str
    size: int
    modified_at: datetime


class FileList(View):
    """A session's files, by name."""

    folder: str
    """On the runner's machine; the agent finds it in its variable EARTHSHINE_FILES."""
    files: list[FileView]
    unlisted: int
    """What is there besides: folders, links, and names that cannot be transferred."""
    max_file: int
    """Bytes that one file may have."""
    max_total: int
    """Bytes that all files of the session may have."""


class FileStored(View):
    """A file has come to the session."""

    name: str
    size: int
    path: str
    """On the runner's machine."""
