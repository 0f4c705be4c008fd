"""What people may be called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthshine.control.accounts import names
from earthshine.control.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Anna", "Anna"),
        ("  Anna   Maria ", "Anna Maria"),
        ("Zoë O'Brien-Smith (Ops)", "Zoë O'Brien-Smith (Ops)"),
        ("Ａｎｎａ", "Anna"),
        ("山田太郎", "山田太郎"),
        ("मीरा", "मीरा"),
        ("anna@example.org", "anna@example.org"),
    ],
)
def test_names_are_kept_in_one_form(typed, kept):
    assert names.clean(typed) == kept


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "...",
        "x" * 65,
        "a/b",
        "<script>",
        "an\u0000na",
        "an\nna",
        "an\u200bna",
        "\u202eanna",
        "an\u2066na",
        "anna\ufe0f",
        "\u3164",
        "\u2800",
        "a" + "\u0301" * 6,
        "\u0301anna",
        "\ud800",
        "\ue000",
    ],
)
def test_what_is_no_name(typed):
    with pytest.raises(InvalidRequestError):
        names.clean(typed)


@pytest.mark.parametrize("other", ["anna", "ANNA", "Ａnna", "aNNA"])
def test_names_that_count_as_one(other):
    assert names.key(other) == names.key("Anna")


def test_case_is_folded_as_languages_do():
    assert names.key("Straße") == names.key("STRASSE")
    assert names.key("Anna") != names.key("Hanna")


@given(st.text())
def test_any_text_is_a_name_or_refused_and_can_be_salvaged(text):
    try:
        kept = names.clean(text)
    except InvalidRequestError:
        kept = names.salvage(text, "Somebody")
    assert names.clean(kept) == kept
    assert names.key(kept) == names.key(names.key(kept))
    assert len(names.key(kept)) <= 255
    assert kept.isprintable()
