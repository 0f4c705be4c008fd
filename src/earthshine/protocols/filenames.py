"""Which names a transferred file may have. Pure; both ends check, and the runner's word counts.

A name is one component of a path on a POSIX machine that people can read: nothing in it leads to
another folder, hides what it is, or is taken for one of our own unfinished files.
"""

from __future__ import annotations

import unicodedata
from typing import Final

MAX_BYTES: Final = 200
"""Of a name in UTF-8. File systems take 255; this leaves room for the name of an unfinished one."""
UNFINISHED: Final = ".earthshine-"
"""How the names of files begin that are still on their way."""
_FORBIDDEN: Final = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_TURNS_AROUND: Final = frozenset(
    "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
"""Characters that change the direction of what follows: `exe.txt` would be shown for `txt.exe`."""


class BadNameError(ValueError):
    """No file may have this name; the message says why and how to name it."""


def check(name: str) -> str:
    """The name itself. Raises BadNameError."""
    if name in ("", ".", ".."):
        raise BadNameError("a file needs a name")
    if "/" in name or "\\" in name:
        raise BadNameError("the name must not contain / or \\: it is one file, in no other folder")
    if any(unicodedata.category(character) in _FORBIDDEN for character in name):
        raise BadNameError("the name contains characters that cannot be shown: take them out")
    if not _TURNS_AROUND.isdisjoint(name):
        raise BadNameError("the name contains marks that turn text around: take them out")
    if name != name.strip():
        raise BadNameError("the name begins or ends with a space: take it out")
    if name.startswith(UNFINISHED):
        raise BadNameError(f"names that begin with {UNFINISHED} are for files on their way")
    if len(name.encode()) > MAX_BYTES:
        raise BadNameError(f"the name is longer than {MAX_BYTES} bytes: shorten it")
    return name


def is_fine(name: str) -> bool:
    """Whether a file may have this name."""
    try:
        check(name)
    except ValueError:
        return False
    return True
