"""Names of files that are transferred."""

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from earthshine.protocols import filenames
from earthshine.protocols.filenames import BadNameError


@pytest.mark.parametrize(
    "name",
    [
        "report.pdf",
        "ü",
        ".env",
        "a b (2).tar.gz",
        "日本語.txt",
        "👩‍🚀.png",
        "x" * 200,
        "-rf",
        "~",
        "$HOME",
    ],
)
def test_names_that_people_use_are_fine(name):
    assert filenames.check(name) == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "needs a name"),
        (".", "needs a name"),
        ("..", "needs a name"),
        ("../../etc/passwd", "no other folder"),
        ("C:\\autoexec.bat", "no other folder"),
        ("a\0b", "cannot be shown"),
        ("a\nb", "cannot be shown"),
        ("bell\a", "cannot be shown"),
        ("half\ud800", "cannot be shown"),
        ("invoice\u202efdp.exe", "turn text around"),
        (" leading", "space"),
        ("trailing ", "space"),
        (".earthshine-0123", "on their way"),
        ("ü" * 101, "200 bytes"),
    ],
)
def test_other_names_are_refused_with_words(name, words):
    with pytest.raises(BadNameError, match=words):
        filenames.check(name)
    assert not filenames.is_fine(name)


@given(st.text(max_size=250))
@example("a/..")
def test_whatever_is_fine_is_one_visible_component_of_a_path(name):
    if not filenames.is_fine(name):
        return
    path = Path("/folder") / name
    assert os.path.normpath(path) == str(path)
    assert path.parent == Path("/folder")
    assert path.name == name
    assert os.fsencode(name).decode() == name
    assert len(os.fsencode(name)) <= filenames.MAX_BYTES
    assert not any(unicodedata.category(character) == "Cc" for character in name)
