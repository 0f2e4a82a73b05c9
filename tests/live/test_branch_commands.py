"""`branch create | list | log | diff | merge | delete` as a user runs them, on one real tree."""

from collections.abc import Iterator

import pytest
from full_tree import FullTree

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullTree]:
    """Run the default tree, with a book that has begun."""
    with FullTree(tmp_path_factory.mktemp("home")) as running:
        running.hourbook("log", "did", "a")
        yield running


def shown(tree: FullTree, *arguments: str) -> list[str]:
    """Return the entities that a command prints, without the record of branches."""
    lines = (line.split() for line in tree.hourbook(*arguments).stdout.splitlines())
    return [line[4] for line in lines if line[3] in {"did", "tried"}]


def test_branch_from_its_beginning_to_its_end(tree: FullTree) -> None:
    """Created, written, looked back on, compared, merged, deleted: each tells what it did."""
    created = tree.hourbook_json("branch", "create", "plan-b", "--at", "1")
    first = tree.hourbook_json("log", "tried", "x", "--branch", "plan-b")
    tree.hourbook("log", "tried", "y", "--branch", "plan-b")
    tree.hourbook("log", "did", "x")

    assert (created["name"], created["number"], created["base_seq"]) == ("plan-b", 1, 1)
    assert first["branch"] == 1
    assert shown(tree, "branch", "log", "plan-b") == ["a", "x", "y"]
    assert shown(tree, "branch", "log", "plan-b", "-n", "1") == ["y"]
    at = str(first["seq"])
    assert shown(tree, "branch", "log", "plan-b", "--at", at) == ["a", "x"]
    assert shown(tree, "tail", "--branch", "plan-b", "--at", at) == ["a", "x"]
    assert shown(tree, "tail") == shown(tree, "tail", "--branch", "main") == ["a", "x"]
    sql = "SELECT entity FROM entries WHERE kind = 'log'"
    asked = tree.hourbook_json("query", sql, "--branch", "plan-b", "--at", at)
    assert [row["entity"] for row in asked["rows"]] == ["a", "x"]

    apart = tree.hourbook_json("branch", "diff", "plan-b", "main")
    assert [each["entity"] for each in apart["only_a"]] == ["x", "y"]
    assert (apart["base_seq"], apart["conflicts"]) == (1, ["x"])
    then = tree.hourbook_json("branch", "diff", "plan-b", "main", "--at", at)
    assert (len(then["only_a"]), then["conflicts"]) == (1, [])
    assert "only plan-b sees 2 entries:" in tree.hourbook("branch", "diff", "main", "plan-b").stdout

    refused = tree.hourbook("branch", "merge", "plan-b")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "'x' (choose --strategy ours, theirs or both)" in refused.stderr
    merged = tree.hourbook_json("branch", "merge", "plan-b", "--strategy", "both")
    assert (merged["entries"], merged["left"], merged["conflicts"]) == (2, 0, ["x"])
    assert shown(tree, "tail") == ["a", "x", "x", "y"]
    assert "#conflict" in tree.hourbook("tail", "-n", "3").stdout
    assert tree.hourbook("branch", "merge", "plan-b").stdout == "nothing to merge from plan-b\n"

    deleted = tree.hourbook_json("branch", "delete", "plan-b")
    assert deleted["unmerged"] == 0
    header, line = tree.hourbook("branch", "list").stdout.splitlines()
    assert header.split() == ["NUMBER", "NAME", "FROM", "AFTER", "MERGED", "DELETED"]
    assert line.split() == ["1", "plan-b", "main", "1", str(merged["seq"]), str(deleted["seq"])]
    assert shown(tree, "branch", "log", "plan-b", "--at", at) == ["a", "x"]
    assert tree.hourbook("verify").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "../../x"), "to fit [a-z0-9._-]{1,64}"),
        (("create", "new", "--at", "99999"), "a seq in 1.."),
        (("log", "nowhere"), "`hourbook branch list` shows them"),
        (("merge", "main"), "got 'main'"),
        (("merge", "x", "--strategy", "mine"), "mine"),
        (("delete", "'; DROP TABLE entry; --"), "to fit"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_branch_that_cannot_be_is_refused_in_one_line(
    tree: FullTree, arguments: tuple[str, ...], words: str
) -> None:
    """Exit code 2, nothing on standard output, and what was expected."""
    result = tree.hourbook("branch", *arguments)

    assert (result.returncode, result.stdout) == (2, "")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
