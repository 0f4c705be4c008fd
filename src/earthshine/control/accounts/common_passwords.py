"""Passwords that are guessed first, of those long enough to be allowed otherwise."""

from __future__ import annotations

from typing import Final

_WORDS: Final = """
0123456789 0987654321 1029384756 1122334455 1234512345 1234567890 12345678900 12345678910
123456789a 123456789q 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc 1qaz2wsx3edc4rfv 9876543210
abcdefghij abcdefghijk abcd123456 adminadmin administrator admin12345 admin123456 asdfasdfasdf
asdfghjkl1 asdfghjkl; azertyuiop basketball bismillah1 changeme123 changemenow chocolate1
computer123 correcthorse correcthorsebatterystaple dragon1234 earthshine earthshine1
earthshine123 football123 helloworld helloworld1 hello12345 iloveyou12 iloveyou123 iloveyou1234
letmein123 letmein1234 letmeinnow liverpool1 manchester michael123 minecraft1 monkey1234
mypassword mypassword1 password00 password01 password10 password11 password12 password123
password1234 password12345 password123456 password1! password!! passw0rd123 p@ssw0rd123
passwordpassword princess12 princess123 q1w2e3r4t5 q1w2e3r4t5y6 qazwsxedc1 qazwsxedcrfv
qwerty1234 qwerty12345 qwerty123456 qwertyqwerty qwertyuiop qwertyuiop1 qwertyuiop123
qwertyuiop[] qwertzuiop root123456 secret1234 sunshine12 sunshine123 superman12 superman123
thisisapassword trustno1trustno1 welcome123 welcome1234 welcome12345 whatever12 zxcvbnm123
zxcvbnm,./
"""
COMMON: Final = frozenset(_WORDS.split())
MIN_DIFFERENT: Final = 4
"""Characters that must differ."""


def is_common(password: str) -> bool:
    """Whether it is among the first that anybody would try."""
    folded = password.casefold()
    return folded in COMMON or len(set(folded)) < MIN_DIFFERENT
