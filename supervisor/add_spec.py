"""The SPEC of `supervisor add`: an actor's table, from a file, from stdin or from the command line.

Read and checked here, so that mistakes are named before anything is sent; the supervisor checks
again, since others may speak to its socket.
"""

import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protocols import errors
from supervisor.config import parse_spec

__all__ = ["read_spec"]


def read_spec(text: str) -> dict[str, Any]:
    """Return the table that `text` is or names.

    Args:
        text: an inline TOML table ``{name = ..., class = ...}``, the path of a TOML file with one
            ``[actor.NAME]``, or ``-`` for such a file on stdin.

    Raises:
        ConfigError: it cannot be read, or is wrong; one line for each mistake.
    """
    if text.lstrip().startswith("{"):
        parsed = _parse(f"spec = {text}", "spec")
        table = parsed.get("spec")
        if len(parsed) != 1 or not isinstance(table, dict):
            raise errors.ConfigError("spec: must be one inline table")
        where = "spec"
    else:
        where = "stdin" if text == "-" else Path(text).name
        table = _only_actor(_parse(_read(text), where), where)
    parse_spec(table, where)
    return table


def _only_actor(document: Mapping[str, Any], where: str) -> dict[str, Any]:
    actors = document.get("actor")
    if document.keys() != {"actor"} or not isinstance(actors, Mapping) or len(actors) != 1:
        raise errors.ConfigError(f"{where}: must hold exactly one table, [actor.NAME]")
    name, table = next(iter(actors.items()))
    if not isinstance(table, Mapping):
        raise errors.ConfigError(f"{where}: actor.{name}: must be a table")
    return {"name": name, **table}


def _read(text: str) -> str:
    try:
        return sys.stdin.read() if text == "-" else Path(text).read_text(encoding="utf-8")
    except OSError as error:
        raise errors.ConfigError(
            f"spec: {text}: must be a file, - or an inline table: {error.strerror}"
        ) from None
    except UnicodeDecodeError:
        raise errors.ConfigError(f"spec: {text}: must be UTF-8") from None


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise errors.ConfigError(f"{where}: {error}") from None
