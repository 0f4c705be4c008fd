import pytest

from earthshine.protocols.plaintext import plain_text


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("big-machine", "big-machine"),
        ("  two\twords\n", "two words"),
        ("red \x1b[31mALERT\x1b[0m", "red [31mALERT[0m"),
        ("\u202egnp.exe", "gnp.exe"),
        ("a\u2066b\u2069\u200b\u200dc\ufeff", "abc"),
        ("nul\x00bell\x07", "nulbell"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("line\u2028separator", "line separator"),
        ("z" + "\u0301" * 50, "z" + "\u0301" * 4),
        ("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"),
        ("größe 東京", "größe 東京"),
        ("\u200b\u202e", ""),
    ],
)
def test_only_what_shows_is_left(said, shown):
    assert plain_text(said, 200) == shown


def test_it_is_cut_to_size_and_does_not_end_in_a_space():
    assert plain_text("ab cd", 3) == "ab"
    assert len(plain_text("x" * 10_000, 64)) == 64
    assert len(plain_text("\u200b" * 1_000_000 + "x", 64)) <= 64, "nor does it look for ever"
