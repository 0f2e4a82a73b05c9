"""Globs agree with the plainest matcher there is, and cost no more than their length says."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hourbook.book.store.glob import parse_glob
from protocols import errors

ALPHABET = "ab*?[]!-^.\\/\n日"
PATTERNS = st.lists(
    st.one_of(
        st.sampled_from(["*", "**", "?", "[a-b]", "[!a]", "[]]", "[!]a]", "[a-]", "[*]", "[^]"]),
        st.sampled_from("ab.^\\/\n日-]!"),
    ),
    min_size=1,
    max_size=8,
).map("".join)
KEYS = st.text(ALPHABET, max_size=8)


def fits(pattern: str, key: str) -> bool:
    """Match one character at a time, trying everything."""
    if not pattern:
        return not key
    if pattern[0] == "*":
        return any(fits(pattern[1:], key[index:]) for index in range(len(key) + 1))
    if not key:
        return False
    if pattern[0] == "[":
        negated = pattern[1] == "!"
        begin = 1 + negated
        end = pattern.index("]", begin + 1)
        return (key[0] in members(pattern[begin:end])) != negated and fits(
            pattern[end + 1 :], key[1:]
        )
    return pattern[0] in ("?", key[0]) and fits(pattern[1:], key[1:])


def members(text: str) -> set[str]:
    """Return the characters of a set."""
    if len(text) >= 3 and text[1] == "-":
        return {chr(n) for n in range(ord(text[0]), ord(text[2]) + 1)} | members(text[3:])
    return {text[0]} | members(text[1:]) if text else set()


@given(PATTERNS, KEYS)
def test_globs_match_as_the_plain_matcher_does(pattern: str, key: str) -> None:
    """Whole keys, and every character but the four literally."""
    assert parse_glob(pattern).matches(key) == fits(pattern, key)


@given(PATTERNS, st.text(max_size=8))
def test_what_matches_lies_between_prefix_and_end(pattern: str, key: str) -> None:
    """In the order of UTF-8, so that an index finds it."""
    glob = parse_glob(pattern)
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return

    if glob.matches(key):
        assert key.startswith(glob.prefix)
        assert encoded >= glob.prefix.encode()
        assert glob.end is None or encoded < glob.end.encode()
        assert not glob.is_literal or key == glob.prefix


@pytest.mark.parametrize(
    ("prefix", "end"),
    [
        ("a", "b"),
        ("a\U0010ffff", "b"),
        ("\U0010ffff", None),
        ("\ud7ff", "\ue000"),
        ("", None),
    ],
)
def test_end_of_a_prefix_is_the_next_text(prefix: str, end: str | None) -> None:
    """Also at the edges of Unicode."""
    assert parse_glob(prefix + "*").end == end


@pytest.mark.parametrize(
    ("pattern", "error"),
    [
        ("", errors.BadRequest),
        ("[", errors.BadRequest),
        ("a[", errors.BadRequest),
        ("[]", errors.BadRequest),
        ("[!]", errors.BadRequest),
        ("[abc", errors.BadRequest),
        ("[z-a]", errors.BadRequest),
        ("x\ud800", errors.BadRequest),
        (None, errors.BadRequest),
        (b"*", errors.BadRequest),
        ("x" * 1025, errors.LimitExceeded),
    ],
)
def test_bad_globs_are_refused_naming_them(pattern: str, error: type[Exception]) -> None:
    """At the call, not at the first key."""
    with pytest.raises(error, match=r"^Expected .*, got .* in glob"):
        parse_glob(pattern)


def test_no_glob_takes_long() -> None:
    """What makes regular expressions explode costs a glob nothing."""
    glob = parse_glob("a*" * 500 + "b")
    started_s = time.perf_counter()

    matched = glob.matches("a" * 1024)

    assert not matched
    assert time.perf_counter() - started_s < 0.5
