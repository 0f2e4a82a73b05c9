"""Make the three standard streams fit to use, whatever the caller left of them.

A service or a script may start a command with a stream closed. Python then sets it to None, and the
next file that is opened takes its number: what is printed for people would land in a database.
"""

import io
import os
import sys
from typing import Final

__all__ = ["mend_standard_streams"]

_STREAMS: Final = ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w"))


def mend_standard_streams() -> None:
    """Open closed streams on /dev/null, and print what a locale cannot encode as an escape.

    Call it before anything else is opened.
    """
    for number, name, mode in _STREAMS:
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)  # noqa: FBT003 - the signature of os
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
