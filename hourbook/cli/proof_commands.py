"""`verify`, `head`, `keys`: what proves that the book says what was written.

All but `keys rotate` only read, and need no running tree.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from hourbook.cli import exit_codes
from hourbook.cli.options import HomeOption, JsonOption, WriterOption
from hourbook.cli.out import emit, emit_json
from hourbook.cli.progress import ProgressLine
from hourbook.cli.proof_text import head_lines, key_lines, rotated_lines, verdict_lines
from hourbook.home import Home, find_home
from hourbook.tree_status import check_running
from hourbook.words import typed_text
from protocols import errors

if TYPE_CHECKING:
    import sqlite3

__all__ = ["head", "keys", "rotate", "verify"]

EMPTY_HEAD: dict[str, Any] = {
    "seq": 0,
    "hash": None,
    "commit": 0,
    "signature": None,
    "key": None,
    "book": None,
}


def verify(
    *,
    from_commit: Annotated[
        int, Parameter(name="--from", validator=Number(gte=1), show_default=False)
    ] = 1,
    against: Annotated[Path | None, Parameter(show_default=False)] = None,
    all_signatures: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Check every hash and link, and the signatures that cover them. Exits 1 when one is wrong.

    What was cut off at the end shows only against a head that was kept elsewhere.
    Example: `hourbook verify --against heads.jsonl`

    Parameters
    ----------
    from_commit:
        Check from this commit on; what is before it is taken as given.
    against:
        A file of heads, each as `hourbook head --json` prints it: the book must hold them all.
    all_signatures:
        Check the signature of every commit, not only of every 1000th and of the head.
    """
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - completion needs no database

    witnesses = []
    if against is not None:
        from hourbook.book.proof.witness import load_witnesses  # noqa: PLC0415 - needed here alone

        witnesses = load_witnesses(against)
    with BookReader(find_home(home)) as book, ProgressLine(quiet=json) as line:
        verdict = book.verify(
            from_commit=from_commit,
            all_signatures=all_signatures,
            witnesses=witnesses,
            progress=line.show,
        )
    if json:
        emit_json(msgspec.structs.asdict(verdict))
    else:
        for text in verdict_lines(verdict):
            emit(text)
    return exit_codes.OK if verdict.ok else exit_codes.FOUND_WRONG


def head(*, json: JsonOption = False, home: HomeOption = None) -> int:
    """Print the newest signed commit: kept elsewhere, it proves that nothing was cut off later.

    Example: `hourbook head --json | ssh safe.example tee -a heads.jsonl`
    """
    from hourbook.book.proof.witness import witness_json  # noqa: PLC0415 - the same
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - completion needs no database

    with BookReader(find_home(home)) as book:
        document = book.query(witness_json) or EMPTY_HEAD
    _print(document, head_lines(document), json=json)
    return exit_codes.OK


def keys(*, json: JsonOption = False, home: HomeOption = None) -> int:
    """List the public keys that have signed the book, oldest first; the last one is in use.

    Example: `hourbook keys --json | jq -r '.keys[-1].key'`
    """
    from hourbook.book.reader import BookReader  # noqa: PLC0415 - completion needs no database

    found = find_home(home)
    with BookReader(found) as book:
        document = book.query(lambda connection: _keys_json(connection, found))
    _print(document, key_lines(document), json=json)
    return exit_codes.OK


def rotate(
    *,
    why: Annotated[str, Parameter(show_default=False)] = "",
    writer: WriterOption = "cli",
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Go on under a new signing key. The old one signs for it, and is then destroyed.

    Example: `hourbook keys rotate --why "yearly"`

    Parameters
    ----------
    why:
        Kept in the book.
    """
    from hourbook.link.key_rotation import rotate_key  # noqa: PLC0415 - the others need no sockets

    found = find_home(home)
    check_running(found)
    rotated = rotate_key(found, typed_text(writer), typed_text(why))
    document = {
        "seq": rotated.seq,
        "key": rotated.key.hex(),
        "previous": rotated.previous.hex(),
    }
    _print(document, rotated_lines(document), json=json)
    return exit_codes.OK


def _keys_json(connection: "sqlite3.Connection", home: Home) -> dict[str, Any]:
    from hourbook.book.proof.key_chain import key_periods  # noqa: PLC0415 - as above
    from hourbook.book.proof.key_ring import check_key  # noqa: PLC0415 - as above

    periods = key_periods(connection)
    problem = ""
    if periods:
        try:
            check_key(home.keys_dir, periods[-1].key)
        except errors.HomeUnusable as error:
            problem = str(error)
    rows = [{**msgspec.structs.asdict(period), "key": period.key.hex()} for period in periods]
    return {"keys": rows, "can_sign": not problem, "problem": problem}


def _print(document: dict[str, Any], lines: list[str], *, json: bool) -> None:
    if json:
        emit_json(document)
        return
    for text in lines:
        emit(text)
