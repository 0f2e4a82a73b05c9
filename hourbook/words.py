"""Figures and texts as a person reads them in a terminal. Pure."""

import re
from typing import TYPE_CHECKING, Final
from unicodedata import category, east_asian_width

if TYPE_CHECKING:
    from cyclopts import CycloptsError

__all__ = [
    "UNBOUNDED",
    "age_text",
    "bound_text",
    "counted",
    "cut_to",
    "duration_text",
    "interval_text",
    "padded",
    "size_text",
    "text_width",
    "typed_text",
    "usage_text",
    "visible",
]

UNBOUNDED: Final = "unbounded: nothing can be promised"
_UNITS: Final = (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1))
_SIZES: Final = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1))
_DAY_S: Final = 86_400
# Controls, lone surrogates, and the marks that reverse the direction of what follows.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

_ZERO_WIDTH: Final = frozenset(("Mn", "Me", "Cf"))
"""Marks that stand on the letter before, and joiners."""


def visible(text: str, length_max: int = 0) -> str:
    r"""Return `text` on one line, with everything that could move a cursor as an escape.

    Args:
        text: anything, also lone surrogates.
        length_max: cut to so many characters, with an ellipsis (0: never).
    """
    shown = _UNSAFE.sub(_escape, text)
    return f"{shown[: length_max - 1]}…" if 0 < length_max < len(shown) else shown


def cut_to(text: str, width: int) -> str:
    """Return a text in at most `width` (>= 1) columns of a terminal, with an ellipsis if cut."""
    if text.isascii():
        return text if len(text) <= width else f"{text[: width - 1]}…"
    used = end = 0
    for count, letter in enumerate(text, 1):
        used += _columns(letter)
        if used > width:
            return f"{text[:end]}…"
        if used < width:
            end = count
    return text


def text_width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def padded(text: str, width: int, *, to_the_right: bool = False) -> str:
    """Return a text with blanks up to `width` columns of a terminal."""
    gap = " " * (width - text_width(text))
    return f"{gap}{text}" if to_the_right else f"{text}{gap}"


def _columns(letter: str) -> int:
    if category(letter) in _ZERO_WIDTH:
        return 0
    return 2 if east_asian_width(letter) in "WF" else 1


def usage_text(error: "CycloptsError") -> str:
    """Return on one line what is wrong with a command line."""
    import cyclopts  # noqa: PLC0415 - imported by whoever parses anyway

    if isinstance(error, cyclopts.UnusedCliTokensError):  # cyclopts shows the list as Python would
        return f"Expected no further argument, got {' '.join(error.unused_tokens or [])!r}"
    if isinstance(error, cyclopts.UnknownOptionError):
        word = error.token.keyword or error.token.value
        if word[:1] == "-" != word[1:2]:  # no option has several letters after one dash
            return f"Unknown option {word!r}; what is none and begins with a dash stands after --"
    return " ".join(str(error).split())


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def typed_text(argument: str) -> str:
    """Return an argument of the command line as the UTF-8 text that was typed.

    In a locale without UTF-8 Python hands over each byte above 127 as a lone surrogate. What is no
    UTF-8 is returned as it came, for a later check to refuse.
    """
    if argument.isascii():
        return argument
    try:
        return argument.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return argument


def duration_text(duration_ns: int) -> str:
    """Return a duration in the unit that gives three digits or so: ``1.23 ms``, ``-45 ns``."""
    size = abs(duration_ns)
    for unit, unit_ns in _UNITS:
        if size >= unit_ns:
            return f"{duration_ns / unit_ns:.4g} {unit}" if unit != "ns" else f"{duration_ns} ns"
    return "0 ns"


def bound_text(bound_ns: int | None) -> str:
    """Return ``±1.2 ms``, or what to say when nothing is promised."""
    return "unbounded" if bound_ns is None or bound_ns < 0 else f"±{duration_text(bound_ns)}"


def interval_text(time_ns: int, earliest_ns: int | None, latest_ns: int | None) -> str:
    """Return the interval about the estimate: ``-1.2 ms .. +1.3 ms``."""
    if earliest_ns is None or latest_ns is None:
        return UNBOUNDED
    before, after = duration_text(time_ns - earliest_ns), duration_text(latest_ns - time_ns)
    return f"-{before} .. +{after}"


def age_text(seconds: float) -> str:
    """Return an age for a column: ``3.2s``, ``4m10s``, ``2h05m``, ``3d04h``."""
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 3600:  # noqa: PLR2004 - an hour
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < _DAY_S:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // _DAY_S}d{whole % _DAY_S // 3600:02}h"


def counted(number: int, singular: str, plural: str) -> str:
    """Return ``1 entry`` or ``2 entries``."""
    return f"{number} {singular if number == 1 else plural}"


def size_text(size: int) -> str:
    """Return a size in bytes as ``31.5 MiB``."""
    for unit, unit_size in _SIZES:
        if size >= unit_size:
            return f"{size / unit_size:.1f} {unit}" if unit_size > 1 else f"{size} B"
    return "0 B"
