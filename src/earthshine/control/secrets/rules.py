"""Which names and values a secret may have."""

from __future__ import annotations

import re
from typing import Final

from earthshine.control.errors import InvalidRequestError

MAX_NAME: Final = 128
MAX_VALUE: Final = 8192
"""Bytes."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")

_HOW_PROGRAMS_RUN: Final = """
    PATH HOME SHELL USER LOGNAME PWD OLDPWD TERM COLORTERM TERM_PROGRAM TMPDIR TMP TEMP LANG TZ
    IFS ENV BASH_ENV BASHOPTS SHELLOPTS CDPATH GLOBIGNORE PS0 PS1 PS2 PS4 PROMPT_COMMAND ZDOTDIR
    DISPLAY WAYLAND_DISPLAY XAUTHORITY DBUS_SESSION_BUS_ADDRESS SSH_AUTH_SOCK
    EDITOR VISUAL PAGER BROWSER LESSOPEN LESSCLOSE MANPAGER
    NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED
    PERL5LIB PERL5OPT PERL5DB RUBYLIB RUBYOPT CLASSPATH JAVA_TOOL_OPTIONS _JAVA_OPTIONS
    GIT_SSH GIT_SSH_COMMAND GIT_EXEC_PATH GIT_ASKPASS GIT_EDITOR GIT_SEQUENCE_EDITOR GIT_PAGER
    GIT_EXTERNAL_DIFF GIT_PROXY_COMMAND GIT_TEMPLATE_DIR SSH_ASKPASS SUDO_ASKPASS
    GCONV_PATH NLSPATH HOSTALIASES RES_OPTIONS LOCALDOMAIN OPENSSL_CONF OPENSSL_ENGINES
    SSL_CERT_FILE SSL_CERT_DIR HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
"""
_REFUSED: Final = frozenset(_HOW_PROGRAMS_RUN.split())
"""They say how programs run or whom they trust; none of them is a key."""
_REFUSED_BEGINNINGS: Final = (
    "LD_",
    "DYLD_",
    "LC_",
    "PYTHON",
    "EARTHSHINE_",
    "BASH_FUNC_",
    "XDG_",
    "GIT_CONFIG",
    "MALLOC_",
)


def check_name(name: str) -> None:
    """Raises InvalidRequestError."""
    if _NAME.fullmatch(name) is None:
        raise InvalidRequestError(
            f"A secret's name is an environment variable: letters, digits and _, at most "
            f"{MAX_NAME} characters, no digit first."
        )
    upper = name.upper()
    if upper in _REFUSED or upper.startswith(_REFUSED_BEGINNINGS):
        raise InvalidRequestError(
            f"{name} changes how programs run; it cannot be a secret.",
            remedy="Set it on the runner itself.",
        )


def check_value(value: str) -> None:
    """Raises InvalidRequestError, without the value."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidRequestError("The value is no text.") from None
    if not 1 <= size <= MAX_VALUE:
        raise InvalidRequestError(f"A value has 1 to {MAX_VALUE} bytes.")
    if any(character < " " or character == "\x7f" for character in value):
        raise InvalidRequestError(
            "A value is one line: no line ends, tabs or other control characters.",
            remedy="Perhaps a line end was copied with it.",
        )
