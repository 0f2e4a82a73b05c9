"""`kv set | delete | incr`: writing the store. Each returns once it is done for good."""

import sys
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from hourbook.book.render import json_value
from hourbook.cli import exit_codes
from hourbook.cli.book_text import parse_details
from hourbook.cli.open_book import open_book
from hourbook.cli.options import BranchOption, HomeOption, JsonOption, WriterOption
from hourbook.cli.out import emit, emit_json
from hourbook.words import typed_text, visible
from protocols import errors
from protocols.entry import ENTRY_BYTES_MAX

__all__ = ["delete", "incr", "set_"]

TypeName = Literal["persistent", "versioned", "shared", "locked", "transient", "cached"]
Flag = Annotated[bool, Parameter(negative="", show_default=False)]
TtlOption = Annotated[float | None, Parameter(name="--ttl", show_default=False)]
TypeOption = Annotated[TypeName | None, Parameter(name="--type", show_default=False)]
IfVersionOption = Annotated[int | None, Parameter(show_default=False)]
TokenOption = Annotated[int, Parameter(show_default=False)]


def set_(
    namespace: str,
    key: str,
    value: str | None = None,
    /,
    *,
    value_json: Flag = False,
    value_bytes: Flag = False,
    stdin: Flag = False,
    ttl: TtlOption = None,
    keep_ttl: Flag = False,
    kind: TypeOption = None,
    if_version: IfVersionOption = None,
    token: TokenOption = 0,
    metadata: Annotated[str | None, Parameter(show_default=False)] = None,
    writer: WriterOption = "cli",
    branch: BranchOption = "",
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Give a key a value; print the version that it has now.

    Example: `hourbook kv set config limits '{"jobs": 4}' --value-json --if-version 17`

    Parameters
    ----------
    namespace:
        Of the key; made by using it.
    key:
        Its name.
    value:
        Text; with --value-json a number, a list, a map.
    value_json:
        VALUE is JSON and is kept as a value.
    value_bytes:
        With --stdin: keep its bytes as they are; `kv get --raw` prints them.
    stdin:
        Read VALUE from standard input instead (up to 16 MiB).
    ttl:
        Seconds that it lives; without it for ever, or as its namespace has it.
    keep_ttl:
        It keeps the time that it has left.
    kind:
        What becomes of it (docs/STORE.md); without it, as the key or its namespace has it.
    if_version:
        Only where the key has this version; 0: only where it is not there.
    token:
        Of the lock that protects the key.
    metadata:
        A map of your own, as JSON.
    """
    said = _said(value, stdin=stdin, is_json=value_json, is_bytes=value_bytes)
    about = metadata and typed_text(metadata)
    about = parse_details(about, is_json=True, what="--metadata")
    with open_book(writer, home, branch=branch) as book:
        name = typed_text(key)
        version = book.store(namespace).set(
            name,
            said,
            ttl_s=ttl,
            keep_ttl=keep_ttl,
            type=kind or "",
            if_version=if_version,
            metadata=about,
            token=token,
        )
    _print(namespace, name, version, json=json)
    return exit_codes.OK


def delete(
    namespace: str,
    key: str,
    /,
    *,
    if_version: IfVersionOption = None,
    token: TokenOption = 0,
    writer: WriterOption = "cli",
    branch: BranchOption = "",
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Take a key away. One that is not there is no error; `--json` has version 0 then.

    Example: `hourbook kv delete app deploy/target --if-version 3`

    Parameters
    ----------
    namespace:
        Of the key.
    key:
        Its name.
    if_version:
        Only where the key has this version.
    token:
        Of the lock that protects the key.
    """
    with open_book(writer, home, branch=branch) as book:
        name = typed_text(key)
        version = book.store(namespace).delete(name, if_version=if_version, token=token)
    _print(namespace, name, version, json=json)
    return exit_codes.OK


def incr(
    namespace: str,
    key: str,
    by: Annotated[str, Parameter(allow_leading_hyphen=True)] = "1",
    /,
    *,
    ttl: TtlOption = None,
    kind: TypeOption = None,
    token: TokenOption = 0,
    writer: WriterOption = "cli",
    branch: BranchOption = "",
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Add to a number, which is 0 where the key is not there; print what it is now.

    A value that `kv set` gave is text, unless it was given with --value-json.

    Example: `hourbook kv incr metrics builds`

    Parameters
    ----------
    namespace:
        Of the key.
    key:
        Its name.
    by:
        How much: an integer, or a decimal fraction.
    ttl:
        Seconds that a new key lives.
    kind:
        What becomes of a new key (docs/STORE.md).
    token:
        Of the lock that protects the key.
    """
    step = _number(by)
    with open_book(writer, home, branch=branch) as book:
        name = typed_text(key)
        number = book.store(namespace).increment(
            name, step, ttl_s=ttl, type=kind or "", token=token
        )
    if json:
        emit_json({"namespace": namespace, "key": name, "value": json_value(number)})
    else:
        emit(str(number))
    return exit_codes.OK


def _print(namespace: str, key: str, version: int, *, json: bool) -> None:
    if json:
        emit_json({"namespace": namespace, "key": key, "version": json_value(version)})
    else:
        done = f"version {version}" if version else "was not there"
        emit(f"{visible(f'{namespace}/{key}')} {done}")


def _number(text: str) -> int | float:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    raise errors.BadRequest(
        f"Expected BY as an integer or a decimal fraction, got {visible(text, 60)!r}", field="by"
    )


def _said(value: str | None, *, stdin: bool, is_json: bool, is_bytes: bool) -> Any:  # noqa: ANN401 - any value
    """Return the value that the command line gives, or standard input."""
    if stdin == (value is not None):
        got = "both" if stdin else "neither"
        raise errors.BadRequest(f"Expected VALUE or --stdin, got {got}", field="value")
    if is_bytes and (is_json or not stdin):
        raise errors.BadRequest("Expected --value-bytes with --stdin alone", field="value")
    if value is not None:
        return parse_details(typed_text(value), is_json=is_json, what="VALUE")
    data = _read_stdin()
    if is_bytes:
        return data
    return parse_details(data.decode("utf-8", "surrogateescape"), is_json=is_json, what="VALUE")


def _read_stdin() -> bytes:
    """Return standard input; no more of it than shows that it is too long."""
    return sys.stdin.buffer.read(ENTRY_BYTES_MAX + 1)
