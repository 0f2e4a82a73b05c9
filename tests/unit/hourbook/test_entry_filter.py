"""Filters of a feed are data: compared for equality, whatever they hold."""

import msgspec
import pytest
from books import STAMP, append
from hypothesis import given
from hypothesis import strategies as st

from hourbook.book import journal
from hourbook.book.entry_filter import VALUES_MAX, RawFilter, make_filter
from protocols import errors
from protocols.entry import Entry

decode = msgspec.msgpack.Decoder(Entry).decode
FIELDS = ("action", "entity", "writer", "kind", "tag", "session")
keys = st.text(
    alphabet=st.characters(codec="utf-8") | st.sampled_from("'\";-|.*[]\0\n😀"),
    min_size=1,
    max_size=40,
)


def payload(**fields: object) -> bytes:
    """Return the record of the ring of one entry."""
    request = append(1)
    new = msgspec.structs.replace(
        request.entries[0],
        **{name: fields.pop(name) for name in ("action", "entity", "kind") if name in fields},
        tags=(fields.pop("tag"),) if "tag" in fields else (),
    )
    said = msgspec.structs.replace(request, entries=[new], **fields)
    return journal.sequence(journal.EMPTY_HEAD, [said], STAMP, bytes(16)).records[0]


@given(
    st.dictionaries(st.sampled_from(FIELDS), keys), st.dictionaries(st.sampled_from(FIELDS), keys)
)
def test_raw_filter_and_entry_agree(has: dict[str, str], wants: dict[str, str]) -> None:
    """What looks at bytes never refuses what the decoded entry would pass."""
    record = payload(**has)
    wanted = make_filter(**wants)  # type: ignore[arg-type] # one text each

    passes = wanted.passes(decode(record))

    actual = {"action": "deployed", "entity": "api.1", "writer": "agent", "kind": "log"} | has
    assert passes == all(actual.get(name) == value for name, value in wants.items())
    needles = RawFilter(wanted).needles
    assert not passes or all(any(needle in record for needle in any_of) for any_of in needles)


@pytest.mark.parametrize(
    "text",
    [
        "' OR 1=1 --",
        '"; DROP TABLE entry; --',
        '.action | select(. == "x")',
        "*",
        "a\0b",
        "a\nb",
        "😀",
    ],
)
def test_filter_with_quotes_and_code_is_only_text(text: str) -> None:
    """It passes the entry that has exactly this text, and no other."""
    wanted = make_filter(action=text)

    assert wanted.passes(decode(payload(action=text)))
    assert not wanted.passes(decode(payload(action="deployed")))


@pytest.mark.parametrize("value", ["\udc00", "x" * 1025, 3, ["a"] * 2 + [None]])
def test_filter_that_no_entry_could_fit_is_refused(value: object) -> None:
    """A clear error at the call, instead of a silence for ever."""
    with pytest.raises((errors.BadRequest, errors.LimitExceeded), match="entity"):
        make_filter(entity=value)  # type: ignore[arg-type] # wrong on purpose


def test_filter_has_a_limit() -> None:
    """A thousand values of one field, no more."""
    with pytest.raises(errors.LimitExceeded, match=str(VALUES_MAX)):
        make_filter(tag=[str(number) for number in range(VALUES_MAX + 1)])


def test_several_values_mean_any_and_several_fields_all() -> None:
    """Entries of other branches are left out unless asked for."""
    entry = decode(payload(action="deployed", tag="prod"))
    elsewhere = msgspec.structs.replace(entry, branch=3)

    assert make_filter(action=["decided", "deployed"]).passes(entry)
    assert make_filter(action="deployed", tag=["x", "prod"]).passes(entry)
    assert not make_filter(action="deployed", tag="x").passes(entry)
    assert not make_filter().passes(elsewhere)
    assert make_filter(branch=3).passes(elsewhere)
    assert make_filter(branch=None).passes(elsewhere)
