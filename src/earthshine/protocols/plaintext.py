"""Text from strangers, made fit to stand between other text.

A machine's name is shown in lists, logs, terminals and questions ("let X in?"). Signs that move the
cursor, reverse the direction of writing or do not show at all could make it say something else.
"""

from __future__ import annotations

import unicodedata
from typing import Final

_UNSHOWN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's general categories of controls (escape sequences), formats (the bidirectional
overrides, zero-width signs), surrogates, private use, unassigned, line and paragraph separators."""
MAX_MARKS: Final = 4
"""Combining marks in a row: more pile up over neighbouring lines."""


def plain_text(text: str, limit: int) -> str:
    """`text` in one line without signs that do not show, at most `limit` characters.

    Markup is left as it is: escaping belongs to whoever shows it.
    """
    shown: list[str] = []
    marks = 0
    for sign in text[: limit * 8]:
        category = unicodedata.category(sign)
        if sign.isspace():
            sign, category = " ", "Zs"
        if category in _UNSHOWN:
            continue
        marks = marks + 1 if category.startswith("M") else 0
        if marks <= MAX_MARKS:
            shown.append(sign)
    return " ".join("".join(shown).split())[:limit].rstrip()
