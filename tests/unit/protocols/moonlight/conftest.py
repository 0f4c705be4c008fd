"""Recorded GameStream traffic (tests/data/moonlight; its origin is described in the README
there)."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[3] / "data" / "moonlight"


@functools.cache
def _load(name: str) -> Any:
    path = DATA / name
    return json.loads(path.read_text()) if path.suffix == ".json" else path.read_bytes()


@pytest.fixture(scope="session")
def recording():
    """Call with a file name: parsed JSON or raw bytes. Treat the result as read-only."""
    return _load
