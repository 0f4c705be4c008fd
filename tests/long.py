"""Runs that take longer than their share; a smaller version of each runs always."""

from __future__ import annotations

import os

import pytest

LONG = pytest.mark.skipif(
    "EARTHSHINE_TEST_LONG" not in os.environ,
    reason="one of several like it, which runs always: set EARTHSHINE_TEST_LONG=1 for all",
)
