"""What people may be called, and when two names are the same.

Names are shown beside what people do, so none may imitate another by case, width, invisible or
direction-changing characters. Letters of different scripts that look alike are not told apart.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from earthshine.control.errors import InvalidRequestError

MAX_NAME: Final = 64
_PUNCTUATION: Final = frozenset(" ._@'+-(),&\N{RIGHT SINGLE QUOTATION MARK}\N{MIDDLE DOT}")
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters and marks that draw nothing."""
MAX_MARKS: Final = 4
"""Combining marks on one letter; more than any language uses climb over the neighbouring lines."""


def clean(name: str) -> str:
    """A name as it is kept: NFKC, single spaces. Raises InvalidRequestError."""
    name = " ".join(unicodedata.normalize("NFKC", name).split(" ")).strip()
    name = " ".join(part for part in name.split(" ") if part)
    if not 1 <= len(name) <= MAX_NAME:
        raise InvalidRequestError(f"A name has 1 to {MAX_NAME} characters.")
    if not all(_is_allowed(character) for character in name) or _has_a_tower(name):
        raise InvalidRequestError(
            "A name consists of letters, digits, spaces and simple punctuation."
        )
    if not any(character.isalnum() for character in name):
        raise InvalidRequestError("A name needs a letter or a digit.")
    return name


def salvage(name: str, otherwise: str) -> str:
    """What is left of a name from elsewhere once it is made to fit."""
    normal = unicodedata.normalize("NFKC", name[:500])
    kept = "".join(character for character in normal if _is_allowed(character))[:MAX_NAME]
    try:
        return clean(kept)
    except InvalidRequestError:
        return otherwise


def key(name: str) -> str:
    """The same for all names that count as one."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return unicodedata.normalize("NFKC", folded)


def _is_allowed(character: str) -> bool:
    if character in _PUNCTUATION:
        return True
    kind = unicodedata.category(character)
    if 0xFE00 <= ord(character) <= 0xFE0F or 0xE0100 <= ord(character) <= 0xE01EF:
        return False  # variation selectors: marks that draw nothing
    return kind[0] in "LMN" and kind != "Me" and character not in _INVISIBLE


def _has_a_tower(name: str) -> bool:
    marks = MAX_MARKS  # a mark with no letter to stand on is one too many
    for character in name:
        marks = marks + 1 if unicodedata.category(character)[0] == "M" else 0
        if marks > MAX_MARKS:
            return True
    return False
