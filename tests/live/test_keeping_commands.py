"""`compact`, `redact`, `verify`, `head`, `keys`, `backup`, `restore` as a person runs them."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from books import open_writer
from full_tree import ROOT_DIR, FullTree, run_hourbook

from hourbook.book.journal import Stamp
from hourbook.home import Home, prepare_home
from protocols.book_messages import Append, NewEntry
from protocols.entry import encode_value, make_nonce

pytestmark = pytest.mark.live

COUNT = 300
RULES = """
[[actor.compactor.config.retention]]
do = "keep"
kind = "decision"

[[actor.compactor.config.retention]]
do = "drop"
kind = "trace"
after = "2 d"

[[actor.compactor.config.retention]]
do = "archive"
after = "2 d"
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullTree]:
    """Run a tree with rules of its own, whose book begins with COUNT entries of ten days ago."""
    running = FullTree(tmp_path_factory.mktemp("home"))
    prepare_home(running.home)
    (running.home.path / "hourbook.toml").write_text(RULES)
    writer = open_writer(running.home)
    kinds = ("log", "trace", "decision")
    news = [
        NewEntry("did", f"e{n}", msgspec.Raw(encode_value("x" * 3000, "")), (), kinds[n % 3])
        for n in range(COUNT)
    ]
    stamp = Stamp(time.time_ns() - 10 * 86_400 * 10**9, -1)
    writer.commit([Append("old", make_nonce(1, 1), news)], stamp)
    writer.close()
    with running:
        yield running


def on_a_terminal(tree: FullTree, *arguments: str) -> str:
    """Run a command whose stderr is a terminal; return what that showed."""
    ours, theirs = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "hourbook.command", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            env={**os.environ, "HOURBOOK_HOME": str(tree.home.path)},
            cwd=ROOT_DIR,
            timeout=30,
            check=False,
        )
        os.write(theirs, b"$ ")  # so that there is an end to be read
        shown = b""
        while not shown.endswith(b"$ "):
            shown += os.read(ours, 1 << 16)
        return shown.decode()
    finally:
        os.close(ours)
        os.close(theirs)


def test_details_are_compacted_by_the_rules_of_the_configuration(tree: FullTree) -> None:
    """A dry run says what would be done and does nothing; then it is done, and told."""
    would = tree.hourbook("compact", "--dry-run")
    planned = tree.hourbook_json("compact", "--dry-run")
    redacted = tree.hourbook("redact", "1", "--why", "held a password")
    done = tree.hourbook("compact")
    again = tree.hourbook("compact")

    assert would.stdout.splitlines() == [
        "a dry run: nothing was done",
        "archive  100 entries, 293.3 KiB, into 1 file",
        "drop     100 entries, 293.3 KiB",
        "by rule  archive after 2 d: 100",
        "by rule  drop kind=trace after 2 d: 100",
    ]
    assert (planned["dry_run"], planned["archived"], planned["dropped"]) == (True, 100, 100)
    assert redacted.stdout.startswith("redacted entry 1: its details are gone, entry ")
    lines = done.stdout.splitlines()
    assert lines[0] == "archived 99 entries, 290.3 KiB, into 1 file"
    assert lines[1] == "dropped  100 entries, 293.3 KiB"
    assert [line.split()[0] for line in lines[4:]] == ["freed", "took"]
    assert again.stdout.startswith("nothing  is old enough for a rule")
    (file,) = tree.home.archive_dir.glob("*.zst")
    assert file.stat().st_mode & 0o777 == 0o600
    found = tree.hourbook_json("verify")
    assert (found["ok"], found["detached"], found["unexplained"]) == (True, 200, 0)
    sql = "SELECT coalesce(missing, 'there') AS m, count(*) AS n FROM entries WHERE seq <= 300 "
    rows = tree.hourbook_json("query", sql + "GROUP BY m ORDER BY n")["rows"]
    assert [row["n"] for row in rows] == [1, 100, 199]


def test_redaction_answers_for_what_it_cannot_do(tree: FullTree) -> None:
    """Once is enough, what is not there cannot be redacted, nor can the book's own record."""
    seq = tree.hourbook_json("log", "leaked", "token", "x")["seq"]
    first = tree.hourbook_json("redact", str(seq), "--why", "a token")
    again = tree.hourbook("redact", str(seq), "--why", "again")
    missing = tree.hourbook("redact", "999999", "--why", "x")
    own = tree.hourbook("redact", str(first["seq"]), "--why", "x")

    assert (first["target"], first["is_new"]) == (seq, True)
    assert again.stdout == (
        f"the details of entry {seq} were gone already, see entry {first['seq']}\n"
    )
    assert (missing.returncode, own.returncode) == (2, 2)
    assert {missing.stderr.count("\n"), own.stderr.count("\n")} == {1}
    assert "a token" in tree.hourbook("tail", "-n", "1").stdout


def test_progress_is_shown_on_a_terminal_and_nowhere_else(tree: FullTree, tmp_path: Path) -> None:
    """A person sees a bar that is wiped in the end; a pipe sees nothing, nor does `--json`."""
    seen = on_a_terminal(tree, "verify")
    copied = on_a_terminal(tree, "backup", str(tmp_path / "copy.db"))
    quiet = on_a_terminal(tree, "verify", "--json")
    piped = tree.hourbook("verify")

    assert re.search(r"verifying \[#{30}\] 100 %", seen)
    assert seen.split("\r")[-2].strip() == ""
    assert seen.split("\r")[-1] == "$ "
    assert "copying [" in copied
    assert quiet == "$ "
    assert (piped.stderr, piped.returncode) == ("", 0)


def test_verify_names_what_is_wrong_with_the_archive(
    tree: FullTree, other: Home, tmp_path: Path
) -> None:
    """A spoiled file is named by verify and backup, and not restored unless that is accepted."""
    (file,) = tree.home.archive_dir.glob("*.zst")
    whole = file.read_bytes()
    backup = tmp_path / "copy.db"
    file.write_bytes(whole[:50] + b"\0" + whole[51:])
    with contextlib.ExitStack() as mended:
        mended.callback(file.write_bytes, whole)
        verified = tree.hourbook("verify")
        backed_up = tree.hourbook("backup", str(backup), "--with-key")

    refused = run_hourbook("restore", str(backup), home=other.path)
    accepted = run_hourbook("restore", str(backup), "--accept-damage", home=other.path)

    assert (verified.returncode, backed_up.returncode) == (1, 1)
    assert verified.stdout.startswith(f"WRONG    archive file {file.name}")
    assert f"WRONG    archive file {file.name}" in backed_up.stdout
    assert refused.returncode == 3
    assert file.name in refused.stderr
    assert "--accept-damage" in refused.stderr
    assert accepted.returncode == 0, accepted.stderr
    assert f"LOST     archive file {file.name}" in accepted.stdout
    assert tree.hourbook("verify").returncode == 0


def test_head_and_keys_are_printed_for_people_and_programs(tree: FullTree) -> None:
    """What they show is what `verify --against` takes, over a change of keys."""
    before = tree.hourbook("head", "--json").stdout
    keys = tree.hourbook_json("keys")["keys"]
    rotated = tree.hourbook("keys", "rotate", "--why", "yearly")
    tree.hourbook("log", "goes", "on")
    heads = tree.home.path / "heads.jsonl"
    heads.write_text(before + tree.hourbook("head", "--json").stdout)

    result = tree.hourbook("verify", "--all-signatures", "--against", str(heads))
    shown = tree.hourbook("keys").stdout.splitlines()

    assert (result.returncode, result.stdout[:3]) == (0, "ok ")
    assert "compared with 2 witnesses" in result.stdout
    assert f"previous   {keys[0]['key']}" in rotated.stdout
    assert shown[0].startswith(keys[0]["key"])
    assert "  in use, since commit " in shown[1]
    assert json.loads(before)["key"] == keys[0]["key"]
