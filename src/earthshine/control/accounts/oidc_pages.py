"""What somebody reads whose sign-in at the provider came to nothing."""

from __future__ import annotations

import html

from earthshine.control.errors import DomainError

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Earthshine: not signed in</title>
<h1>You are not signed in</h1>
<p>{detail}</p>
<p>{remedy}</p>
<p><a href="/">Back to Earthshine</a></p>
</html>
"""


def refusal(error: DomainError) -> str:
    """A page with what failed and what to do."""
    return _PAGE.format(detail=html.escape(error.detail), remedy=html.escape(error.remedy or ""))
