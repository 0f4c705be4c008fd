"""What gets into the log when something goes wrong."""

import io
import logging
import sys

import pytest

from earthshine.cli import logs


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    before = (root.handlers, root.level)
    yield root
    root.handlers, root.level = before


class Terminal(io.StringIO):
    """A fake terminal."""

    def isatty(self):
        return True


def go_wrong(environment):
    raise ValueError("it went wrong")


@pytest.mark.parametrize("where", [Terminal, io.StringIO])
def test_a_traceback_shows_no_variables(where, monkeypatch, root_logger):
    stream = where()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure("INFO")
    environment = {"API_KEY": "-".join(["sk", "live", "1234567890"])}
    try:
        go_wrong(environment)
    except ValueError:
        logging.getLogger("earthshine.test").exception("a command failed")
    assert "it went wrong" in stream.getvalue()
    assert "go_wrong" in stream.getvalue()
    assert "sk-live-1234567890" not in stream.getvalue()
