"""From argv to an exit code: the one place where a failure becomes a line on stderr.

No user ever sees a traceback, unless HOURBOOK_TRACEBACK is set and asks for it.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cyclopts import CycloptsError

from hourbook.cli import exit_codes
from hourbook.cli.app import GROUP_WORDS, GROUPS, make_app
from hourbook.cli.leading_home import count_home_words, home_after_command
from hourbook.standard_streams import mend_standard_streams
from hourbook.words import usage_text, visible
from protocols import errors

__all__ = ["run"]


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return what the process should exit with."""
    mend_standard_streams()
    words = _with_group_word(list(sys.argv[1:] if argv is None else argv))
    try:
        app = make_app(describe=_asks_what_there_is(words))
        code = app(home_after_command(words, GROUPS))
        sys.stdout.flush()
    except (CycloptsError, errors.HourbookError, OSError, KeyboardInterrupt) as error:
        return _end(error)
    except Exception as error:
        if os.environ.get("HOURBOOK_TRACEBACK"):
            raise
        text = f"{type(error).__name__}: {error}; HOURBOOK_TRACEBACK=1 shows where"
        return _complain(f"internal error: {text}", exit_codes.INTERNAL)
    return code if isinstance(code, int) else exit_codes.OK


def _end(error: BaseException) -> int:
    """Say what went wrong and return the exit code for it."""
    match error:
        case CycloptsError():
            return _complain(f"{usage_text(error)} (try --help)", exit_codes.USAGE)
        case errors.HourbookError():
            return _complain(str(error), exit_codes.exit_code_of(error))
        case BrokenPipeError():
            _discard_stdout()
            return exit_codes.BROKEN_PIPE
        case OSError():
            _discard_stdout()
            return _complain(_os_text(error), exit_codes.OPERATOR)
        case _:
            return exit_codes.INTERRUPTED


def _os_text(error: OSError) -> str:
    """Say what the machine refused; a file that cannot be made for want of its directory, so."""
    if isinstance(error, FileNotFoundError) and isinstance(error.filename, str | os.PathLike):
        directory = Path(error.filename).parent
        if not directory.is_dir():
            return f"No such directory, at {directory}"
    where = f", at {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{where}"


def _with_group_word(argv: list[str]) -> list[str]:
    """Accept ``hourbook keys --json`` as ``hourbook keys list --json``."""
    home_words = count_home_words(argv)
    leading, rest = argv[:home_words], argv[home_words:]
    word = GROUP_WORDS.get(rest[0]) if rest else None
    if word is None or (len(rest) > 1 and (rest[1][:1] != "-" or rest[1] in {"--help", "-h"})):
        return argv
    return [*leading, rest[0], word, *rest[1:]]


def _asks_what_there_is(words: list[str]) -> bool:
    """Say whether a list of commands will be shown, and so must say what each does."""
    rest = words[1:] if words and words[0] in GROUPS else words
    return not rest or rest[0] in {"--help", "-h", "--install-completion"}


def _discard_stdout() -> None:
    """Let what Python still flushes at exit go nowhere: writing failed once already."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(text: str, code: int) -> int:
    sys.stderr.write(f"hourbook: {visible(text)}\n")
    return code
