"""Every `hourbook` command on a real tree: its text, its JSON field by field, its failures."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from books import write_book
from full_tree import ROOT_DIR, FullTree, run_hourbook
from waiting import wait_until

from hourbook.clock.disruption import CAUSES
from hourbook.home import Home

pytestmark = pytest.mark.live

RFC_3339 = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
HEX_32 = r"[0-9a-f]{64}"
DECIMAL = r"-?\d+"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullTree]:
    """Run the default tree; its clock asserts half a second, so that intervals are bounded."""
    with FullTree(tmp_path_factory.mktemp("home")) as running:
        wait_until(
            lambda: running.hourbook_json("now")["earliest_ns"] is not None, 15, "a bounded clock"
        )
        running.hourbook("log", "began", "tests")
        yield running


def check_shape(document: dict[str, Any], shape: dict[str, Any]) -> None:
    """Compare names in their order, and each value with a type or a pattern."""
    assert list(document) == list(shape)
    for name, expected in shape.items():
        value = document[name]
        if isinstance(expected, str):
            assert isinstance(value, str), name
            assert re.fullmatch(expected, value), f"{name}: {value!r}"
        else:
            assert isinstance(value, expected), f"{name}: {value!r}"


NOW = {
    "time": RFC_3339,
    "time_ns": DECIMAL,
    "earliest_ns": DECIMAL,
    "latest_ns": DECIMAL,
    "sigma_ns": int,
    "status": "SYNCHRONIZED|FREE_RUNNING|DISRUPTED|UNKNOWN",
    "source": "asserted",
    "age_ms": float,
}
ENTRY = {
    "seq": int,
    "time": RFC_3339,
    "time_ns": DECIMAL,
    "bound_ns": int,
    "hlc": DECIMAL,
    "writer": "cli",
    "session": "",
    "branch": int,
    "nonce": "[0-9a-f]{32}",
    "kind": "log",
    "action": ".*",
    "entity": ".*",
    "details": object,
    "missing": object,
    "tags": list,
    "parent_hash": HEX_32,
    "hash": HEX_32,
}


def test_now_prints_time_interval_and_status(tree: FullTree) -> None:
    """Five lines for a person; the first is the time alone."""
    lines = tree.hourbook("now").stdout.splitlines()

    assert re.fullmatch(RFC_3339, lines[0])
    assert [line.split()[0] for line in lines[1:]] == ["interval", "sigma", "status", "source"]


def test_now_json_is_the_contract(tree: FullTree) -> None:
    """Times are decimal strings, and the kernel's clock lies inside the interval."""
    document = tree.hourbook_json("now")

    check_shape(document, NOW)
    assert int(document["earliest_ns"]) < time.time_ns() < int(document["latest_ns"]) + 10**9
    assert int(document["earliest_ns"]) <= int(document["time_ns"]) <= int(document["latest_ns"])


def test_now_answers_quickly(tree: FullTree) -> None:
    """A read command costs about as much as starting Python and reading its arguments."""
    best_ms = 1e9
    for _ in range(5):
        started_ns = time.monotonic_ns()
        tree.hourbook("now")
        best_ms = min(best_ms, (time.monotonic_ns() - started_ns) / 1e6)

    print(f"hourbook now: {best_ms:.0f} ms")
    assert best_ms < 750  # a loaded machine; a quiet one takes 130


def test_monitor_prints_one_line_each_interval(tree: FullTree) -> None:
    """Each line of --json is a `now`, and time goes on."""
    result = tree.hourbook("monitor", "--interval", "0.02", "-n", "3", "--json")
    documents = [json.loads(line) for line in result.stdout.splitlines()]

    assert len(documents) == 3
    check_shape(documents[2], NOW)
    assert int(documents[2]["time_ns"]) - int(documents[0]["time_ns"]) >= 30_000_000
    assert len(tree.hourbook("monitor", "-n", "1").stdout.splitlines()) == 1


def test_snapshot_json_has_every_field_of_the_page(tree: FullTree) -> None:
    """Instants are strings; the rest are numbers, texts and booleans."""
    document = tree.hourbook_json("snapshot")

    assert {"time_ns", "as_of_raw_ns", "rate", "growth_ppb", "publications"} <= set(document)
    for name, value in document.items():
        assert value is None or isinstance(value, int | str | bool)
        if name.endswith("raw_ns"):
            assert re.fullmatch(DECIMAL, str(value))
            assert isinstance(value, str)
    assert tree.hourbook("snapshot").returncode == 0


def test_clock_why_explains_every_term(tree: FullTree) -> None:
    """The fields of `now`, the reason, and what the model says of its one source."""
    document = tree.hourbook_json("clock", "why")
    text = tree.hourbook("clock", "why").stdout

    check_shape({name: document[name] for name in NOW}, NOW)
    assert document["flags"] == ["SINGLE_SOURCE", "ASSERTED"]
    assert document["problem"] == ""
    assert document["interval"]["before_ns"] >= 500_000_000
    assert document["leap"]["tai_minus_utc_s"] >= 37
    (source,) = document["model"]["sources"]
    assert source["source"] == document["model"]["interval"]["earliest_source"] == "asserted"
    assert source["terms"]["asserted_ns"] == 500_000_000
    assert sum(source["terms"].values()) == source["half_width_ns"]
    assert "vouches for the interval (asserted)" in document["reason"]
    assert "asserted 500 ms" in text
    assert tree.hourbook("--home", str(tree.home.path), "clock", "why").returncode == 0


def test_benchmark_json_compares_with_pythons_own_clock(tree: FullTree) -> None:
    """Each call has its cost and its ratio to time.time_ns()."""
    document = tree.hourbook_json("benchmark", "--iterations", "1000")

    check_shape(document, {"iterations": int, "rounds": int, "calls": list})
    assert [row["call"] for row in document["calls"]][:2] == ["time.time_ns()", "Clock.time_ns()"]
    assert document["calls"][0]["ratio"] == 1.0


def test_log_prints_the_entry_with_its_hash_and_parent(tree: FullTree) -> None:
    """The parent is the hash of the entry before."""
    before = tree.hourbook_json("head")
    result = tree.hourbook("log", "deployed", "api.example", "FastAPI on 8080", "--tag", "prod")

    assert result.returncode == 0
    assert f"entry {before['seq'] + 1}  deployed  api.example" in result.stdout
    assert f"parent   {before['hash']}" in result.stdout


def test_log_and_tail_json_are_the_contract(tree: FullTree) -> None:
    """What `log` returned is what `tail` shows."""
    logged = tree.hourbook_json("log", "a", "b", '{"x": [1, null]}', "--details-json", "--tag", "t")
    (tailed,) = [json.loads(x) for x in tree.hourbook("tail", "-n1", "--json").stdout.splitlines()]

    check_shape(logged, ENTRY)
    assert logged["details"] == {"x": [1, None]}
    assert logged["tags"] == ["t"]
    assert tailed == logged


def test_tail_follows_what_others_write(tree: FullTree) -> None:
    """`tail -f` prints an entry as it is committed, and ends cleanly at Ctrl-C."""
    follower = subprocess.Popen(
        [sys.executable, "-m", "hourbook.command", "tail", "-f", "-n", "1", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "HOURBOOK_HOME": str(tree.home.path)},
        cwd=ROOT_DIR,
        text=True,
    )
    assert follower.stdout is not None
    first = json.loads(follower.stdout.readline())
    logged = tree.hourbook_json("log", "seen", "by-follower")
    second = json.loads(follower.stdout.readline())
    follower.send_signal(signal.SIGINT)
    _, complaint = follower.communicate(timeout=10)

    assert (second["seq"], second["hash"]) == (logged["seq"], logged["hash"])
    assert first["seq"] < second["seq"]
    assert (follower.returncode, complaint) == (130, "")


def test_verify_and_head_json_are_the_contract(tree: FullTree) -> None:
    """The book verifies, and its head is signed."""
    verdict = tree.hourbook_json("verify", "--all-signatures")
    head = tree.hourbook_json("head")

    fields = ["ok", "entries", "commits", "first_bad_seq", "problem", "seconds"]
    more = ["finding", "witnesses", "signatures", "detached", "unexplained"]
    assert list(verdict) == [*fields, *more]
    assert verdict["ok"] is True
    assert verdict["first_bad_seq"] is None
    check_shape(
        head,
        {
            "seq": int,
            "hash": HEX_32,
            "commit": int,
            "signature": "[0-9a-f]{128}",
            "key": HEX_32,
            "book": HEX_32,
            "first_seq": int,
            "prev_commit": HEX_32,
            "parents": list,
            "hlc": "[0-9]+",
        },
    )
    assert tree.hourbook("verify").stdout.startswith("ok ")
    assert head["hash"] in tree.hourbook("head").stdout


def test_keys_are_listed_and_changed(tree: FullTree, tmp_path: Path) -> None:
    """The new key is in use at once; heads from before the change go on proving the book."""
    heads = tmp_path / "heads.jsonl"
    heads.write_text(tree.hourbook("head", "--json").stdout)
    before = tree.hourbook_json("keys")

    rotated = tree.hourbook_json("keys", "rotate", "--why", "yearly")
    logged = tree.hourbook_json("log", "signed", "by-the-new-key")

    after = tree.hourbook_json("keys", "list")
    check_shape(after, {"keys": list, "can_sign": bool, "problem": ""})
    check_shape(rotated, {"seq": int, "key": HEX_32, "previous": HEX_32})
    shape = {"key": HEX_32, "since_commit": int, "since_seq": int, "until_commit": type(None)}
    check_shape(after["keys"][-1], shape)
    assert [row["key"] for row in after["keys"]] == [
        *(row["key"] for row in before["keys"]),
        rotated["key"],
    ]
    assert after["can_sign"] is True
    assert tree.hourbook_json("head")["key"] == rotated["key"]
    verdict = tree.hourbook("verify", "--all-signatures", "--against", str(heads))
    assert verdict.stdout.startswith("ok ")
    assert verdict.stdout.endswith("compared with 1 witness\n")
    first = after["keys"][-1]["since_commit"]
    assert tree.hourbook_json("verify", "--from", str(first))["entries"] >= 1
    assert logged["seq"] > rotated["seq"]
    assert f"{rotated['key']}  in use" in tree.hourbook("keys").stdout


def test_status_json_is_the_supervisors_and_more(tree: FullTree) -> None:
    """Rows have the columns of `supervisor status`; clock, book and segment stand beside them."""
    document = tree.hourbook_json("status")

    assert list(document) == ["supervisor", "actors", "clock", "book", "segment", "problems"]
    assert set(document["actors"][0]) == set(tree.status().actors[0].__struct_fields__)
    assert set(document["supervisor"]) == set(tree.status().supervisor.__struct_fields__)
    check_shape(document["clock"], {**NOW, "disruptions": dict})
    assert document["clock"]["disruptions"] == dict.fromkeys(CAUSES, 0)
    check_shape(
        document["book"],
        {"path": ".*/book.db", "size_bytes": int, "seq": int, "hash": HEX_32, "commit": int},
    )
    check_shape(
        document["segment"],
        {"path": ".*/segment", "size_bytes": int, "version": int, "state": "live"},
    )
    assert document["problems"] == []
    assert "journal_writer  READY" in tree.hourbook("status").stdout


def test_doctor_finds_a_sound_tree_sound(tree: FullTree) -> None:
    """Offline there are warnings about sources, and nothing is wrong."""
    document = tree.hourbook_json("doctor")
    levels = {check["name"]: check["level"] for check in document["checks"]}

    assert document["ok"] is True
    assert levels["supervisor"] == levels["segment"] == levels["book"] == "ok"
    assert levels["sources"] == "warning"
    assert tree.hourbook("doctor").returncode == 0


@pytest.mark.parametrize("text", ["emoji 🎉", "new\nline", "tab\t \x1b[31mred", '"', "'", "--x"])
def test_log_keeps_any_text_exactly(tree: FullTree, text: str) -> None:
    """What goes in comes out; shown to a person it stays on one line."""
    logged = tree.hourbook("log", "--json", "--", text, text, text)
    shown = tree.hourbook("tail", "-n", "1").stdout

    document = json.loads(logged.stdout)
    assert [document[name] for name in ("action", "entity", "details")] == [text] * 3
    assert len(shown.splitlines()) == 1
    assert "\x1b" not in shown


def test_log_takes_nul_and_more_than_a_command_line_from_stdin(tree: FullTree) -> None:
    """Standard input holds what argv cannot."""
    long = tree.hourbook("log", "a", "b", "--stdin", "--json", text_in=b"x" * 3_000_000 + b"\0")

    assert len(json.loads(long.stdout)["details"]) == 3_000_001


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("log", "a", b"\xff"), 2, "lone surrogate"),
        (("log", "a", "b", b"\xff"), 2, "DETAILS in UTF-8"),
        (("log", "a", "b", "--tag", b"\xff"), 2, "lone surrogate"),
        (("log", "a"), 2, "ENTITY requires"),
        (("log", "a", "b", "c", "--stdin"), 2, "got both"),
        (("log", "a", "b", "{", "--details-json"), 2, "DETAILS in JSON"),
        (("log", "x" * 1025, "b"), 2, "1024 bytes"),
        (("log", "", "b"), 2, "`action` to say something"),
        (("log", "a", "b", "--as", "No Such"), 2, "to fit"),
        (("tail", "-n", "-1"), 2, ">= 0"),
        (("monitor", "--interval", "0"), 2, ">= 0.01"),
        (("benchmark", "--iterations", "1"), 2, ">= 100"),
        (("nwo",), 2, 'Did you mean "now"'),
        (("now", "--nope"), 2, "--nope"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(
    tree: FullTree, arguments: tuple[str | bytes, ...], code: int, words: str
) -> None:
    """What was expected and what was got, on stderr, without a traceback."""
    result = tree.hourbook(*arguments)

    assert result.returncode == code
    assert result.stdout == ""
    assert result.stderr.startswith("hourbook: ")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_reader_that_leaves_early_is_no_error(tree: FullTree) -> None:
    """`hourbook snapshot | head -0` says nothing on stderr."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    result = subprocess.run(
        [sys.executable, "-m", "hourbook.command", "snapshot"],
        stdout=write_end,
        stderr=subprocess.PIPE,
        env={**os.environ, "HOURBOOK_HOME": str(tree.home.path)},
        cwd=ROOT_DIR,
        check=False,
    )
    os.close(write_end)

    assert (result.returncode, result.stderr) == (141, b"")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_keep_an_entry_from_being_written(
    tree: FullTree, closed: str
) -> None:
    """A script may close what it does not care for; nothing else takes the streams' numbers."""
    logged = subprocess.run(
        ["sh", "-c", f'exec "$0" -m hourbook.command log closed streams {closed}', sys.executable],
        capture_output=True,
        text=True,
        env={**os.environ, "HOURBOOK_HOME": str(tree.home.path)},
        cwd=ROOT_DIR,
        check=False,
    )

    assert (logged.returncode, logged.stderr) == (0, "")
    assert tree.hourbook_json("tail", "-n", "1")["action"] == "closed"


def test_text_is_utf_8_whatever_the_locale(tree: FullTree) -> None:
    """Under LC_ALL=C the bytes of an argument are kept, and shown as escapes."""
    words = ("log", "☃", "🎉", "é", "--tag", "ü")
    logged = run_hourbook(
        *words, home=tree.home.path, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"
    )

    assert (logged.returncode, logged.stderr) == (0, "")
    assert "\\u2603" in logged.stdout
    entry = tree.hourbook_json("tail", "-n", "1")
    assert [entry[name] for name in ("action", "entity", "details", "tags")] == [
        "☃",
        "🎉",
        "é",
        ["ü"],
    ]


def test_full_output_device_is_one_line(tree: FullTree) -> None:
    """An output that cannot be written is named; no traceback, not even at exit."""
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "hourbook.command", "now"],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "HOURBOOK_HOME": str(tree.home.path)},
            cwd=ROOT_DIR,
            check=False,
        )

    assert (result.returncode, result.stderr) == (3, b"hourbook: No space left on device\n")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("now",), 6, "segment"),
        (("monitor",), 6, "supervisor start"),
        (("snapshot",), 6, "supervisor start"),
        (("benchmark",), 6, "supervisor start"),
        (("log", "a", "b"), 6, "supervisor start"),
        (("tail",), 3, "got none yet"),
        (("tail", "-f"), 6, "running tree"),
        (("verify",), 3, "got none yet"),
        (("head",), 3, "got none yet"),
        (("keys",), 3, "got none yet"),
        (("keys", "rotate"), 6, "got none"),
    ],
)
def test_without_a_tree_each_command_names_path_and_remedy(
    tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """A reader without a running tree learns where it looked and what to run; nothing is made."""
    home = tmp_path / "nowhere"
    result = run_hourbook(*arguments, home=home)

    assert result.returncode == code
    assert words in result.stderr
    assert "supervisor start" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not home.exists()


def test_empty_book_is_said_to_be_empty_and_a_stopped_one_is_not_followed(home: Home) -> None:
    """Silence would leave a person waiting; standard output stays empty for scripts."""
    write_book(home, [])

    tail = run_hourbook("tail", home=home.path)
    follow = run_hourbook("tail", "-f", home=home.path)

    assert (tail.returncode, tail.stdout) == (0, "")
    assert tail.stderr == "hourbook: the book is empty\n"
    assert (follow.returncode, follow.stdout) == (6, "")
    assert "running tree" in follow.stderr


def test_without_a_tree_status_and_doctor_still_tell(tmp_path: Path) -> None:
    """Both say that nothing runs; `status` exits 6, `doctor` 1 with what to do."""
    status = run_hourbook("status", "--json", home=tmp_path)
    doctor = run_hourbook("doctor", home=tmp_path)

    assert status.returncode == 6
    assert json.loads(status.stdout)["supervisor"] is None
    assert doctor.returncode == 1
    assert "-> run `supervisor start`" in doctor.stdout


def test_help_version_and_completion_need_nothing(tmp_path: Path) -> None:
    """Every command explains itself, and bash takes its completion script."""
    commands = ("now", "monitor", "snapshot", "benchmark", "log", "tail", "verify", "head")
    helps = [run_hourbook(c, "--help", home=tmp_path) for c in (*commands, "status", "doctor")]
    script = run_hourbook("completion", "bash", home=tmp_path).stdout

    assert [result.returncode for result in helps] == [0] * len(helps)
    assert all("--home" in result.stdout for result in helps)
    assert run_hourbook("--version", home=tmp_path).stdout.strip()
    check = subprocess.run(["bash", "-n"], input=script, text=True, check=False)
    assert check.returncode == 0
    assert "monitor" in script
