"""docs/WIRE.md says what the code does: every kind, every key, every error code."""

import re
from pathlib import Path

import msgpack
import msgspec
import pytest

from protocols import (
    book_messages,
    branch_messages,
    clock_messages,
    control,
    errors,
    instance_messages,
    keep_messages,
    key_messages,
    kv_figures,
    kv_messages,
    session_messages,
    source_messages,
    why_messages,
    wire,
)

TEXT = (Path(__file__).parents[3] / "docs" / "WIRE.md").read_text()
KINDS = {
    **control.ACTOR_KINDS,
    "stop": control.Stop,
    "reload": control.Reload,
    clock_messages.SAMPLE_KIND: clock_messages.ClockSample,
    clock_messages.ESTIMATE_KIND: clock_messages.ClockEstimate,
    clock_messages.RESAMPLE_KIND: clock_messages.Resample,
    clock_messages.DISRUPTED_KIND: clock_messages.Disrupted,
    source_messages.WITHDRAWN_KIND: source_messages.Withdrawn,
    "book.append": book_messages.Append,
    "book.maintain": book_messages.Maintain,
    "compactor.run": book_messages.Run,
    "compactor.rules": book_messages.AskRules,
    "branch.create": branch_messages.CreateBranch,
    "branch.merge": branch_messages.MergeBranch,
    "branch.delete": branch_messages.DeleteBranch,
    "book.redact": keep_messages.Redact,
    "book.archive": keep_messages.SealArchive,
    "book.retain": keep_messages.Retain,
    "instance.register": instance_messages.Register,
    "instance.release": instance_messages.Release,
    "instance.beat": instance_messages.Beat,
    "instance.list": instance_messages.ListInstances,
    "kv.write": kv_messages.KvWrite,
    "kv.sweep": kv_messages.Sweep,
    "kv.schema": kv_messages.SetSchema,
    "kv.used": kv_messages.KvUsed,
    kv_figures.FIGURES_KIND: kv_figures.AskFigures,
    "key.rotate": key_messages.RotateKey,
    "session.start": session_messages.StartSession,
    "lock.acquire": kv_messages.AcquireLock,
    "lock.release": kv_messages.ReleaseLock,
    "lock.leave": kv_messages.LeaveLock,
    "lock.renew": kv_messages.RenewLock,
    "lock.list": kv_messages.ListLocks,
}


def section(title: str) -> str:
    """Return the text under a heading."""
    match = re.search(rf"^##+ {re.escape(title)}.*?(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert match, title
    return match[0]


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_every_kind_is_in_the_document(kind: str) -> None:
    """A kind's section names exactly the keys that its struct has, and which are required."""
    fields = msgspec.structs.fields(KINDS[kind])
    text = section(f"`{kind}`")

    for field in fields:
        row = re.search(rf"^\| `{field.encode_name}` \|.*$", text, re.MULTILINE)
        assert row, field.encode_name
        assert field.required == ("| required |" in row[0])


@pytest.mark.parametrize(
    "answer",
    [
        source_messages.Sampled,
        source_messages.ServerReport,
        source_messages.Judged,
        source_messages.SourceReport,
    ],
)
def test_every_key_of_the_answers_about_sources_is_in_the_document(
    answer: type[msgspec.Struct],
) -> None:
    """The section on ``clock.sources`` has a row for every key of both answers."""
    keys = set(re.findall(r"^\| `(\w+)` \|", section("`clock.sources`"), re.MULTILINE))

    assert {field.encode_name for field in msgspec.structs.fields(answer)} <= keys


@pytest.mark.parametrize(
    "answer", [why_messages.Why, why_messages.SourceWhy, why_messages.ForecasterWhy]
)
def test_every_key_of_the_explanation_is_in_the_document(answer: type[msgspec.Struct]) -> None:
    """The section on ``clock.why`` has a row for every key of the answer."""
    keys = set(re.findall(r"^\| `(\w+)` \|", section("`clock.why`"), re.MULTILINE))

    assert {field.encode_name for field in msgspec.structs.fields(answer)} <= keys


def test_every_figure_of_the_store_is_in_the_document() -> None:
    """The section on ``kv.figures`` names every key of its answer."""
    text = section("`kv.figures`")

    for answer in (kv_figures.StoreFigures, kv_figures.NamespaceFigures):
        for field in msgspec.structs.fields(answer):
            assert f"`{field.encode_name}`" in text


def test_every_key_of_the_envelope_is_in_the_document() -> None:
    """The envelope's table has the fields of the struct."""
    keys = set(re.findall(r"^\| `(\w+)` \|", section("Envelope"), re.MULTILINE))

    assert {f.encode_name for f in msgspec.structs.fields(wire.Envelope)} <= keys
    assert {f.encode_name for f in msgspec.structs.fields(wire.ErrorBody)} <= keys


def test_every_command_is_in_the_document() -> None:
    """All commands of the control socket are listed."""
    assert [c for c in control.COMMAND_KINDS if f"`{c}`" not in section("Commands")] == []


def test_every_error_code_is_in_the_document() -> None:
    """A client in another language can list the codes it may meet."""
    listed = set(re.findall(r"^\| `(\w+)` \|", section("Error codes"), re.MULTILINE))
    known = {
        value.code
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.HourbookError)
    }

    assert listed == known - {"error"}


def test_limits_of_the_document_are_those_of_the_code() -> None:
    """The figures in the table are the constants."""
    text = section("Limits")

    assert f"{wire.FRAME_BYTES_MAX_WIRE >> 20} MiB" in text
    assert f"{wire.FRAME_BYTES_MAX_DEFAULT >> 20} MiB, `journal_writer` 16 MiB" in text
    assert f"{wire.DEPTH_MAX} levels" in text
    assert f"{wire.VALUES_MAX:,}".replace(",", " ") in text
    store = (Path(__file__).parents[3] / "docs" / "STORE.md").read_text()
    assert f"up to {wire.VALUE_DEPTH_MAX} deep" in store


def test_example_of_the_document_is_a_message() -> None:
    """The frame in the example passes every check and is refused for its kind alone."""
    frame = msgpack.packb({"kind": "nope", "id": 1})
    wire.check_frame(frame)

    assert str(msgspec.structs.asdict(wire.decode_envelope(frame))["kind"]) in TEXT
