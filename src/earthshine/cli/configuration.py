"""Settings from the configuration file, under the environment, under options."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import click
from platformdirs import user_config_path
from pydantic import ValidationError
from pydantic_settings import BaseSettings

S = TypeVar("S", bound=BaseSettings)


def config_file() -> Path:
    """EARTHSHINE_CONFIG, else earthshine.toml in the XDG configuration folder."""
    override = os.environ.get("EARTHSHINE_CONFIG")
    return Path(override) if override else user_config_path("earthshine") / "earthshine.toml"


def load(
    kind: type[S], table: str, options: dict[str, Any], defaults: dict[str, Any] | None = None
) -> S:
    """Settings of one table. Ends the command with words when they are wrong.

    `defaults` are the command's own, under everything else.
    """
    path = config_file()
    try:
        values = tomllib.loads(path.read_text()).get(table, {})
    except FileNotFoundError:
        values = {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise click.ClickException(f"{path}: {error}") from None
    prefix = kind.model_config.get("env_prefix", "")
    # A variable wins over the file, an option over both.
    values = {**(defaults or {}), **values}
    from_file = {key: value for key, value in values.items() if not _in_environment(prefix, key)}
    given = {key: value for key, value in options.items() if value is not None}
    try:
        return kind(**(from_file | given))
    except ValidationError as error:
        words = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or table}: "
            f"{item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise click.ClickException(words) from None


def _in_environment(prefix: str, key: str) -> bool:
    name = f"{prefix}{key}".upper()
    return any(known == name or known.startswith(f"{name}__") for known in os.environ)
