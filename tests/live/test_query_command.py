"""`hourbook query`, `schema` and `tail --at` as a user runs them, on a book without a tree."""

import csv
import io
import json
import shutil
import time
from collections.abc import Iterator

import pytest
from books import append, open_writer
from full_tree import run_hourbook

from hourbook import confined_query
from hourbook.book.journal import Stamp
from hourbook.book.sql.views import VIEWS
from hourbook.confined_query import confined_query as ask
from hourbook.home import Home, find_home, prepare_home
from protocols import errors

pytestmark = pytest.mark.live

START_NS = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A book of three commits, one second apart, of two entries each."""
    path = tmp_path_factory.mktemp("book")
    made = find_home(path)
    prepare_home(made)
    writer = open_writer(made)
    for number in range(3):
        request = append(
            1 + 2 * number, 2, details={"version": f"1.{number}", "text": "\x1b[2J,\n"}
        )
        writer.commit([request], Stamp(START_NS + number * 1_000_000_000, 1000))
    writer.close()
    yield made
    shutil.rmtree(made.run_dir)


def test_query_prints_json(book: Home) -> None:
    """One document: names, rows by name, whether there are more, up to which seq."""
    sql = "SELECT seq, seq, time_ns, details->>'version' AS v, x'ff' b FROM entries WHERE v = :v"

    result = run_hourbook(
        "query", sql, "--json", "--limit", "1", "--param", "v=1.1", home=book.path
    )

    assert json.loads(result.stdout) == {
        "columns": ["seq", "seq_2", "time_ns", "v", "b"],
        "rows": [
            {
                "seq": 3,
                "seq_2": 3,
                "time_ns": "1700000001000000000",
                "v": "1.1",
                "b": {"base64": "/w=="},
            }
        ],
        "truncated": True,
        "seq": 6,
    }
    assert result.stderr == "hourbook: only the first 1 rows; --limit shows more\n"
    assert result.returncode == 0


def test_query_prints_csv_and_a_table(book: Home) -> None:
    """CSV is exact; a table is aligned, and drives no terminal."""
    sql = "SELECT seq, NULL AS n, details->>'text' AS text, x'00ff' AS blob FROM entries"

    as_csv = run_hourbook("query", "--stdin", "--csv", home=book.path, text_in=sql.encode())
    table = run_hourbook("query", f"{sql} LIMIT 2", home=book.path)

    rows = list(csv.reader(io.StringIO(as_csv.stdout)))
    assert rows[0] == ["seq", "n", "text", "blob"]
    assert rows[1] == ["1", "", "\x1b[2J,\n", "00ff"]
    assert len(rows) == 7
    assert table.stdout.splitlines() == [
        "seq     n  text        blob",
        "---  ----  ----------  ----",
        "  1  NULL  \\x1b[2J,\\n  00ff",
        "  2  NULL  \\x1b[2J,\\n  00ff",
    ]


def test_query_and_tail_go_back_to_a_moment(book: Home) -> None:
    """By seq, time and hash: the same state of the book."""
    seqs = []
    for at in ("4", "2023-11-14T22:13:21.9Z", "1700000001"):
        asked = run_hourbook("query", "SELECT * FROM entries", "--json", "--at", at, home=book.path)
        document = json.loads(asked.stdout)
        seqs.append((document["seq"], len(document["rows"])))
    digest = document["rows"][-1]["hash"]
    lines = run_hourbook("tail", "-n", "1", "--json", "--at", digest[:12], home=book.path).stdout

    assert seqs == [(4, 4)] * 3
    assert json.loads(lines)["seq"] == 4


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("query",), 2, "got neither"),
        (("query", "DROP TABLE entry"), 2, "Expected a SELECT over the views entries"),
        (("query", "SELECT 1", "--json", "--csv"), 2, "got several"),
        (("query", "SELECT :a", "--param", "a"), 2, "NAME=TEXT or NAME:=JSON"),
        (("query", "SELECT :a", "--param", "a:=[1]"), 2, "one value"),
        (("query", "SELECT :a", "--param", "a=1", "--param", "a:=2"), 2, "--param a once"),
        (("query", "SELECT 1", "--branch", "../../x"), 2, "[a-z0-9._-]{1,64}"),
        (("tail", "--branch", "nowhere", "--at", "2"), 2, "there at seq 2, got 'nowhere'"),
        (("query", "SELECT 1", "--limit", "-1"), 2, "`limit` in 0..1000000"),
        (("query", "SELECT 1", "--timeout", "nan"), 2, "`timeout_s`"),
        (("query", "SELECT 1", "--at", "7"), 2, "a seq in 1..6, got 7"),
        (("query", "SELECT 1", "--at", "x' OR 1"), 2, "Expected a seq, a time"),
        (("tail", "--at", "2", "-f"), 2, "got both"),
        (("tail", "--at", "2999-01-01T00:00:00Z"), 2, "a time that has come"),
        (("query", b"SELECT '\xff'"), 2, "surrogates"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    book: Home, arguments: tuple[str | bytes, ...], code: int, words: str
) -> None:
    """Usage is exit code 2, with nothing on standard output."""
    result = run_hourbook(*arguments, home=book.path)

    assert (result.returncode, result.stdout) == (code, "")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c"
COPIES = ", ".join(  # each begins with ten of the one before
    f"{new} AS (SELECT 1 FROM {','.join(old * 10)})"  # noqa: S608 - hostile on purpose
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
COMPILING = "WITH a AS (SELECT 1), " + COPIES + " SELECT 1 FROM j"  # noqa: S608 - the same
HOARD = (
    "WITH RECURSIVE c(x, n) AS (SELECT zeroblob(20000000), 1 UNION"
    " SELECT zeroblob(20000000) || n, n + 1 FROM c) SELECT count(*) FROM c"
)


@pytest.mark.parametrize(
    ("sql", "codes"),
    [
        (ENDLESS, {7}),
        # One step, which compares nine million bytes at eleven million offsets.
        ("SELECT instr(zeroblob(20000000), zeroblob(9000000) || x'01')", {7}),
        # A billion copies of one small view, while the statement is compiled.
        (COMPILING, {2, 7}),
        # Gigabytes of rows that must all be kept.
        (HOARD, {2, 3, 7}),
    ],
    ids=["endless", "one step", "compiling", "hoarding"],
)
def test_hostile_query_ends_soon_in_one_line(book: Home, sql: str, codes: set[int]) -> None:
    """Whatever SQLite cannot be stopped at, the process is."""
    began_s = time.monotonic()

    result = run_hourbook("query", sql, "--timeout", "0.3", home=book.path)

    assert time.monotonic() - began_s < 15
    assert result.returncode in codes
    assert (result.stdout, result.stderr.count("\n")) == ("", 1)


def test_confined_query_survives_what_it_asks(book: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the MCP tool runs: values are bound, hoards are cut off, the end is in time."""
    monkeypatch.setattr(confined_query, "TIMEOUT_S", 0.3)
    values = {"a": 'x" -- \n', "b": 2.5, "c": None}

    document = ask(book, "SELECT :a AS a, :b AS b, :c AS c", values, "seq:1", 10)

    assert document["rows"] == [values]
    assert document["seq"] == 2
    with pytest.raises(errors.BadRequest, match="views entries"):
        ask(book, "PRAGMA user_version", {}, None, 10)
    with pytest.raises(errors.BadRequest, match="passed on"):
        ask(book, "SELECT '\ud800'", {}, None, 10)
    with pytest.raises(errors.LimitExceeded, match="1 MiB"):
        ask(book, "SELECT hex(zeroblob(900000)) FROM entries", {}, None, 10)
    with pytest.raises(errors.BadRequest, match=r"within 0\.3 s"):
        ask(book, HOARD.replace("20000000", "1"), {}, None, 10)


def test_schema_prints_every_view(book: Home) -> None:
    """For people a line a column; for programs the same as data. It needs no book."""
    lines = run_hourbook("schema", home=book.path).stdout.splitlines()
    document = json.loads(run_hourbook("schema", "--json", home=book.path / "nowhere").stdout)

    assert [view["name"] for view in document["views"]] == [view.name for view in VIEWS]
    assert document["views"][0]["columns"][0] == {
        "name": "seq",
        "type": "INTEGER",
        "meaning": VIEWS[0].columns[0].meaning,
    }
    assert sum(line.startswith("  ") for line in lines) == sum(len(v.columns) for v in VIEWS)
