"""Texts from outside: which need a closer look, and what that finds."""

import pytest

from protocols import errors
from protocols.texts import are_short, check_text


@pytest.mark.parametrize(
    ("texts", "is_plain"),
    [
        ((), True),
        (("", "a"), True),
        (("ab", "cd"), True),
        (("ab", "cde"), False),
        (("é",), False),
        (("\ud800",), False),
        (("a", b"b"), False),
        (("a", None), False),
    ],
)
def test_are_short_says_no_unless_each_text_is_known_to_fit(
    texts: tuple[str, ...],
    *,
    is_plain: bool,
) -> None:
    """What is not ASCII, no text, or longer together than one may be, is no plain case."""
    assert are_short(texts, 4) is is_plain


def test_check_text_counts_bytes_of_utf8() -> None:
    """A text of two letters can have four bytes."""
    check_text("éé", "key", 4)

    with pytest.raises(errors.LimitExceeded, match="at most 4 bytes, got 5"):
        check_text("ééa", "key", 4)
