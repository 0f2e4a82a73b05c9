"""`follow`, `updates`, `instances`, `diff`, `context`, `summary` and `session` on a real tree."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from full_tree import ROOT_DIR, FullTree, run_hourbook
from waiting import wait_until

from hourbook.faces.book import connect

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullTree]:
    """Run the default tree, with a book that has begun."""
    with FullTree(tmp_path_factory.mktemp("home")) as running:
        running.hourbook("log", "began", "tests")
        yield running


def updates(tree: FullTree, *arguments: str) -> list[dict[str, Any]]:
    """Return what `updates` prints."""
    lines = tree.hourbook("updates", *arguments, "--json").stdout.splitlines()
    return [json.loads(line) for line in lines]


def test_follow_prints_what_fits_its_filters_until_interrupted(tree: FullTree) -> None:
    """Old entries and new ones; a filter with SQL and jq in it is text."""
    nasty = """'; DROP TABLE entry; -- | select(.x=="y")"""
    tree.hourbook("log", "did", nasty)
    program = [sys.executable, "-m", "hourbook.command", "follow", "--since", "0"]
    follower = subprocess.Popen(
        [*program, "--entity", nasty, "--json", "--home", str(tree.home.path)],
        cwd=ROOT_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    first = json.loads(follower.stdout.readline())
    tree.hourbook("log", "did", "something else")
    logged = tree.hourbook_json("log", "again", nasty)
    second = json.loads(follower.stdout.readline())
    follower.send_signal(signal.SIGINT)
    _, complaint = follower.communicate(timeout=10)

    assert (first["action"], second) == ("did", logged)
    assert (follower.returncode, complaint) == (130, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("follow", "--since", "yesterday"),
        ("follow", "--action", "x" * 1025),
        ("updates", "../../x"),
        ("session", "start", "../../x"),
        ("session", "summary", "never-was"),
        ("diff", "nobody", "cli"),
        ("context", "--every", "1"),
        ("context", "--format", "html"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    tree: FullTree, arguments: tuple[str, ...]
) -> None:
    """Refused at once, whatever they name."""
    result = run_hourbook(*arguments, home=tree.home.path)

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1


def test_updates_prints_each_entry_once(tree: FullTree) -> None:
    """The first time nothing; then what was written since; and again from a seq."""
    assert updates(tree, "shell-agent") == []
    seq = tree.hourbook_json("log", "did", "x")["seq"]

    assert [entry["seq"] for entry in updates(tree, "shell-agent")] == [seq]
    assert updates(tree, "shell-agent") == []
    assert updates(tree, "shell-agent", "--since", str(seq - 1))[0]["seq"] == seq


def test_instances_and_diff_show_who_has_read_what(tree: FullTree) -> None:
    """A connected process is alive; positions and lags add up."""
    with connect("planner", tree.home) as planner, connect("builder", tree.home) as builder:
        with planner.updates() as seen:
            written = builder.log("built", "x").seq
            while seen.poll(0.5) is not None:
                pass
        listed = tree.hourbook_json("instances")["instances"]
        compared = tree.hourbook_json("diff", "planner", "builder")
        text = tree.hourbook("instances").stdout

    row = next(each for each in listed if each["name"] == "planner")
    assert list(row) == [
        "name",
        "alive",
        "pid",
        "pid_ns",
        "last_seen",
        "last_seen_ns",
        "position",
        "lag",
    ]
    assert (row["alive"], row["position"], row["lag"]) == (True, written, 0)
    assert list(compared) == ["a", "b", "head_seq", "is_in_sync"]
    assert (compared["a"]["position"], compared["b"]["last_wrote_seq"]) == (written, written)
    assert text.startswith("NAME")
    assert "planner" in text
    listed = tree.hourbook_json("instances")["instances"]
    assert not next(each for each in listed if each["name"] == "planner")["alive"]


def test_session_is_carried_by_what_is_logged_next(tree: FullTree) -> None:
    """`log` goes on in the session of its writer's last entry, until it leaves it."""
    begun = tree.hourbook_json("session", "start", "infra", "Move the API", "--as", "s")
    inside = tree.hourbook_json("log", "decided", "use-fastapi", "--as", "s")
    outside = tree.hourbook_json("log", "did", "x", "--as", "s", "--session", "")
    after = tree.hourbook_json("log", "did", "y", "--as", "s")
    summary = tree.hourbook_json("session", "summary")
    (listed,) = tree.hourbook_json("session", "list")["sessions"]

    assert (begun["kind"], begun["session"], begun["details"]) == (
        "session.start",
        "infra",
        {"purpose": "Move the API"},
    )
    assert [entry["session"] for entry in (inside, outside, after)] == ["infra", "", ""]
    assert [each["entity"] for each in summary["decisions"]] == ["use-fastapi"]
    assert (listed["name"], listed["entries"], listed["started_by"]) == ("infra", 2, "s")


def test_context_is_one_document_or_a_file_kept_fresh(tree: FullTree) -> None:
    """`--json` is JSON and nothing else; `--out --every` follows the book."""
    document = tree.hourbook_json("context")
    summary = tree.hourbook("summary").stdout
    out = tree.home.path / "context.md"
    program = [sys.executable, "-m", "hourbook.command", "context", "--out", str(out)]
    keeper = subprocess.Popen(
        [*program, "--every", "0.001", "--home", str(tree.home.path)], cwd=ROOT_DIR
    )
    wait_until(out.exists, 10, "the file")
    tree.hourbook("log", "deployed", "fresh.example")
    wait_until(lambda: "fresh.example" in out.read_text(), 10, "the new entry in it")
    keeper.send_signal(signal.SIGINT)

    assert keeper.wait(10) == 130
    assert list(document) == [
        "seq", "hash", "time", "time_ns", "entries", "session", "recent", "entities", "decisions",
        "active", "shared", "locked",
    ]  # fmt: skip
    assert summary.startswith("# Hourbook\n")
