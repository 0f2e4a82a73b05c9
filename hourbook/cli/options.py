"""Options that many commands share."""

from typing import Annotated

from cyclopts import Parameter

__all__ = ["AtOption", "BranchOption", "HomeOption", "JsonOption", "WriterOption"]

AtOption = Annotated[
    str | None,
    Parameter(
        name="--at",
        help="As of a seq, a time (RFC 3339, or since 1970), or the beginning of a hash.",
        show_default=False,
    ),
]
BranchOption = Annotated[
    str,
    Parameter(name="--branch", help="A branch instead of main.", show_default=False),
]
HomeOption = Annotated[
    str | None,
    Parameter(
        name="--home",
        help="The Hourbook to use; else $HOURBOOK_HOME, else hourbook in $XDG_DATA_HOME or"
        " ~/.local/share.",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool,
    Parameter(
        name="--json", negative="", show_default=False, help="Print JSON, one document a line."
    ),
]
WriterOption = Annotated[
    str,
    Parameter(name="--as", show_default=True, help="Name of the instance that writes."),
]
