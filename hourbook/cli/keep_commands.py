"""`redact`: what may be done to details that stand in the book already."""

import msgspec

from hourbook.cli import exit_codes
from hourbook.cli.options import HomeOption, JsonOption, WriterOption
from hourbook.cli.out import emit, emit_json
from hourbook.cli.words import typed_text
from hourbook.home import find_home
from hourbook.tree_status import check_running

__all__ = ["redact"]


def redact(
    seq: int,
    /,
    *,
    why: str,
    writer: WriterOption = "cli",
    json: JsonOption = False,
    home: HomeOption = None,
) -> int:
    """Drop the details of entry SEQ for good, and write down that it was done, why and by whom.

    The entry stays, and the book verifies as before. Backups that were made before still have its
    details: delete them, or redact in them too (docs/OPERATIONS.md).
    Example: `hourbook redact 4711 --why "held a password"`

    Parameters
    ----------
    seq:
        Of an entry that an instance wrote.
    why:
        The reason. It stays in the book for ever: do not repeat the secret.
    """
    from hourbook.book_face import connect  # noqa: PLC0415 - completion needs no sockets

    found = find_home(home)
    check_running(found)
    with connect(writer, found, shared=True) as book:
        done = book.redact(seq, typed_text(why))
    if json:
        emit_json(msgspec.structs.asdict(done))
    elif done.is_new:
        emit(f"redacted entry {done.target}: its details are gone, entry {done.seq} says why")
    else:
        emit(f"the details of entry {done.target} were gone already, see entry {done.seq}")
    return exit_codes.OK
