"""`hourbook kv ...` on a real tree."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from full_tree import ROOT_DIR, FullTree, run_hourbook
from waiting import wait_until

from hourbook.cli import app

pytestmark = pytest.mark.live

CLI_DOC = ROOT_DIR / "docs" / "CLI.md"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullTree]:
    """Run the default tree, with two keys."""
    with FullTree(tmp_path_factory.mktemp("home")) as running:
        running.hourbook("kv", "set", "config", "limits", '{"jobs": 4}', "--value-json")
        running.hourbook("kv", "set", "config", "motd", "naïve\t日本", "--metadata", '{"by": "us"}')
        yield running


def kv(tree: FullTree, *arguments: str) -> tuple[int, str]:
    """Return exit code and output; nothing may be said on stderr."""
    result = tree.hourbook("kv", *arguments)
    assert result.stderr == ""
    return result.returncode, result.stdout


def kv_lines(tree: FullTree, *arguments: str) -> list[dict[str, Any]]:
    """Return the documents that a command prints."""
    return [json.loads(line) for line in kv(tree, *arguments, "--json")[1].splitlines()]


def documented_fields(command: str) -> set[str]:
    """Return the names that docs/CLI.md has of a command's JSON."""
    section = CLI_DOC.read_text().partition("### kv\n")[2].partition("\n### ")[0]
    row = re.search(rf"^\| `{command}`.*?\| (.*) \|$", section, re.MULTILINE)
    assert row, command
    return set(re.findall(r"`(\w+)`", row[1]))


def test_every_command_of_the_store_is_in_the_document() -> None:
    """In the table of commands, and its JSON where it prints any."""
    text = CLI_DOC.read_text()
    names = [name for name in app._COMMANDS if name.startswith("kv ")]

    assert len(names) >= 10
    assert [name for name in names if f"| `{name} " not in text] == []


def test_get_prints_a_value_as_it_is_and_its_fields_as_json(tree: FullTree) -> None:
    """Text is text, anything else JSON; controls are made visible."""
    assert kv(tree, "get", "config", "motd") == (0, "naïve\\t日本\n")
    assert kv(tree, "get", "config", "limits") == (0, '{"jobs":4}\n')

    (document,) = kv_lines(tree, "get", "config", "motd")

    assert set(document) == documented_fields("get")
    assert (document["value"], document["type"]) == ("naïve\t日本", "versioned")
    assert document["metadata"] == {"by": "us"}


def test_raw_value_comes_out_as_it_went_in(tree: FullTree) -> None:
    """Text with its line ends, bytes of any kind: for scripts and files."""
    script = "#!/bin/sh\necho hallo\n"
    tree.hourbook("kv", "set", "raw", "script", "--stdin", text_in=script.encode())
    program = [sys.executable, "-m", "hourbook.command", "kv"]
    home = ["--home", str(tree.home.path)]
    data = bytes(range(256))
    subprocess.run(
        [*program, "set", "raw", "data", "--stdin", "--value-bytes", *home],
        input=data,
        check=True,
        capture_output=True,
        cwd=ROOT_DIR,
    )

    assert kv(tree, "get", "raw", "script") == (0, "#!/bin/sh\\necho hallo\\n\n")
    assert kv(tree, "get", "raw", "script", "--raw") == (0, script)
    read = [*program, "get", "raw", "data", "--raw", *home]
    assert subprocess.run(read, check=True, capture_output=True, cwd=ROOT_DIR).stdout == data
    assert kv_lines(tree, "get", "raw", "data")[0]["value"].keys() == {"base64"}


def test_get_of_a_key_that_is_not_there_is_exit_code_1_and_a_line(tree: FullTree) -> None:
    """None is a value; absence is said another way."""
    result = tree.hourbook("kv", "get", "config", "never")

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "hourbook: nothing under config/never\n"


def test_set_delete_and_incr_tell_version_and_number(tree: FullTree) -> None:
    """And history has it all, newest first, as the document says."""
    first = kv_lines(tree, "set", "config", "k", "one", "--if-version", "0")[0]
    assert set(first) == {"namespace", "key", "version"}
    stale = tree.hourbook("kv", "set", "config", "k", "x", "--if-version", "0")
    assert (stale.returncode, stale.stdout, stale.stderr.count("\n")) == (1, "", 1)
    assert f"got version {first['version']}" in stale.stderr
    lost = tree.hourbook("kv", "set", "config", "k", "x", "--token", "999")
    assert (lost.returncode, lost.stdout, lost.stderr.count("\n")) == (1, "", 1)
    gone = kv_lines(tree, "delete", "config", "k")[0]
    assert kv_lines(tree, "delete", "config", "k")[0]["version"] == 0
    assert kv(tree, "incr", "config", "n", "-5") == (0, "-5\n")
    assert kv_lines(tree, "incr", "config", "n", "0.5")[0]["value"] == -4.5

    past = kv_lines(tree, "history", "config", "k")

    assert [(each["action"], each["version"], each["value"]) for each in past] == [
        ("delete", gone["version"], None),
        ("set", first["version"], "one"),
    ]
    names = {"set", "increment", "delete", "expire"}
    assert set(past[0]) == documented_fields("history") - names
    assert kv(tree, "get", "config", "k", "--version", str(first["version"])) == (0, "one\n")
    assert kv(tree, "get", "config", "k", "--at", str(first["version"])) == (0, "one\n")


def test_keys_lists_what_fits_with_values_or_counted(tree: FullTree) -> None:
    """A glob is matched whole."""
    assert kv(tree, "keys", "config", "[lm]*") == (0, "limits\nmotd\n")
    assert kv(tree, "keys", "config", "[lm]*", "--count") == (0, "2\n")
    assert kv_lines(tree, "keys", "config", "lim*", "--values") == [
        {"key": "limits", "value": {"jobs": 4}}
    ]


def test_stats_counts_keys_by_type(tree: FullTree) -> None:
    """Of one namespace, or of each; and what all processes did with it."""
    tree.hourbook("kv", "set", "counted", "a", "1")
    tree.hourbook("kv", "set", "counted", "b", "1", "--type", "transient")

    (found,) = kv_lines(tree, "stats", "counted")

    store = found.pop("store")
    assert set(found) | set(store) | {"store"} == documented_fields("stats")
    assert (found["writes"], found["steps"], found["refusals"], found["reads"]) == (2, 2, 0, 0)
    assert sum(store["commit_latency_ns"].values()) >= 2
    assert "2 writes, 0 refused" in kv(tree, "stats", "counted")[1]
    each = {line.pop("namespace"): line for line in kv_lines(tree, "stats")}
    assert {"config", "counted"} <= set(each)
    assert list(each) == sorted(each)
    assert each["counted"] == {name: found[name] for name in ("entries", "types", "bytes", "locks")}
    titles, *lines = kv(tree, "stats")[1].splitlines()
    assert titles.split() == ["NAMESPACE", "KEYS", "BYTES", "LOCKS", "TYPES"]
    assert [line.split()[0] for line in lines] == list(each)
    assert (found["entries"], found["types"]) == (2, {"persistent": 1, "transient": 1})
    assert "2 keys" in kv(tree, "stats", "counted")[1]


def test_lock_runs_a_command_under_its_token_and_exits_as_it_does(tree: FullTree) -> None:
    """The lock is listed meanwhile, and free afterwards."""
    script = (
        f'{sys.executable} -m hourbook.command kv locks --json; echo "$HOURBOOK_LOCK_TOKEN"; exit 3'
    )
    code, out = kv(tree, "lock", "deploy", "it", "--", "sh", "-c", script)
    listed, token = out.splitlines()
    (held,) = json.loads(listed)["locks"]

    assert code == 3
    assert held["token"] == int(token)
    assert (held["namespace"], held["key"], held["writer"]) == ("deploy", "it", "cli")
    assert set(held) == documented_fields("locks") - {"locks"}
    assert kv(tree, "locks") == (0, "no lock is held\n")


@pytest.mark.parametrize(
    ("command", "code"), [(("false",), 1), (("no-such-program",), 127), (("/",), 126)]
)
def test_lock_reports_how_its_command_ended(
    tree: FullTree, command: tuple[str, ...], code: int
) -> None:
    """As a shell does."""
    assert tree.hourbook("kv", "lock", "deploy", "it", "--", *command).returncode == code


def test_lock_that_cannot_be_renewed_ends_its_command(tree: FullTree) -> None:
    """Exit code 1, within the time of the lease: somebody else may have the lock by then."""
    pid = tree.row("journal_writer").pid
    assert pid
    at_end = f"kill -CONT {pid}; kill $!; exit 9"
    script = f"trap '{at_end}' TERM; kill -STOP {pid}; sleep 30 & wait"

    result = tree.hourbook("kv", "lock", "deploy", "it", "--ttl", "0.4", "--", "sh", "-c", script)

    assert result.returncode == 1
    assert result.stderr == "hourbook: lost the lock of deploy/it while the command ran\n"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 7), (signal.SIGHUP, 8), (signal.SIGKILL, -9)]
)
def test_command_does_not_go_on_without_its_lock(
    tree: FullTree, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """What ends the one ends the other; and the lock is free."""
    mark = tmp_path / "ended"
    traps = [
        f"trap 'echo {word} >{mark}; kill $!; exit {code}' {word};"
        for word, code in (("TERM", 7), ("HUP", 8))
    ]
    script = " ".join([*traps, "sleep 30 & echo; wait"])
    program = [sys.executable, "-m", "hourbook.command", "kv", "lock", "deploy", "tied"]
    locked = subprocess.Popen(
        [*program, "--home", str(tree.home.path), "--", "sh", "-c", script],
        cwd=ROOT_DIR,
        stdout=subprocess.PIPE,
    )
    assert locked.stdout is not None
    assert locked.stdout.readline() == b"\n"

    locked.send_signal(number)

    assert locked.wait(10) == code
    wait_until(lambda: mark.exists() and mark.read_text().strip(), 5, "the command to end")
    assert kv(tree, "lock", "deploy", "tied", "--wait", "1", "--", "true") == (0, "")
    locked.stdout.close()


def test_lock_that_others_hold_is_exit_code_7_and_names_the_holder(tree: FullTree) -> None:
    """After the wait that was asked for."""
    script = f"{sys.executable} -m hourbook.command kv lock deploy it --wait 0.1 -- true; echo $?"
    result = tree.hourbook("kv", "lock", "deploy", "it", "--", "sh", "-c", script)

    assert result.stdout == "7\n"
    assert "Expected lock deploy/it within 0.1 s; it is held by cli (process " in result.stderr


def test_watch_prints_what_is_done_until_interrupted(tree: FullTree) -> None:
    """Each event a line, from where it was told to begin."""
    program = [sys.executable, "-m", "hourbook.command", "kv", "watch", "seen", "k*", "--json"]
    watcher = subprocess.Popen(
        [*program, "--since", "0", "--home", str(tree.home.path)],
        cwd=ROOT_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watcher.stdout is not None
    tree.hourbook("kv", "set", "seen", "k1", "v")
    tree.hourbook("kv", "lock", "seen", "k1", "--", "true")
    events = [json.loads(watcher.stdout.readline()) for _ in range(3)]
    watcher.send_signal(signal.SIGINT)
    _, complaint = watcher.communicate(timeout=10)

    assert [each["kind"] for each in events] == ["kv.set", "lock.grant", "lock.release"]
    assert events[0]["value"] == "v"
    assert events[1]["token"] == events[2]["token"] == events[1]["version"]
    assert set(events[0]) <= documented_fields("watch") | documented_fields("history")
    assert (watcher.returncode, complaint) == (130, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "Bad/Name", "k"),
        ("get", "config", ""),
        ("get", "config", "k" * 1025),
        ("get", "config", "k", "--at", "sometime"),
        ("keys", "config", "[a"),
        ("history", "config", "k", "-n", "0"),
        ("history", "config", "k", "--before", "0"),
        ("set", "config", "k"),
        ("set", "config", "k", "v", "--stdin"),
        ("set", "config", "k", "{", "--value-json"),
        ("set", "config", "k", "v", "--value-bytes"),
        ("set", "config", "k", "v", "--ttl", "-1"),
        ("set", "config", "k", "v", "--ttl", "nan"),
        ("set", "config", "k", "v", "--type", "eternal"),
        ("set", "config", "k", "v", "--metadata", "[]"),
        ("incr", "config", "k", "much"),
        ("incr", "config", "motd"),
        ("lock", "deploy", "it"),
        ("lock", "deploy", "it", "--ttl", "0", "--", "true"),
        ("locks", "No Namespace"),
        ("watch", "config", "--since", "sometime"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    tree: FullTree, arguments: tuple[str, ...]
) -> None:
    """Refused in words, and nothing is changed."""
    result = run_hourbook("kv", *arguments, home=tree.home.path)

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("hourbook: ")
    assert "DETAILS" not in result.stderr


def test_reading_commands_load_nothing_heavy(tree: FullTree) -> None:
    """What they load is most of what they take; `python -m bench million` has the figures."""
    heavy = {"asyncio", "cryptography", "mcp", "multiprocess", "nacl", "numpy", "rich", "zstandard"}
    asking = {"zmq", "hourbook.link.client"}  # of a writer, over its socket
    code = (
        "import sys; from hourbook.cli.run import run; "
        f"run(sys.argv[1:]); print(*sorted({heavy | asking!r} & set(sys.modules)), file=sys.stderr)"
    )
    loaded = {}
    for words in (("get", "config", "limits"), ("keys", "config"), ("stats", "config"), ("stats",)):
        command = [sys.executable, "-c", code, "kv", *words, "--home", str(tree.home.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        loaded[" ".join(words)] = done.stderr.strip()

    quiet = {"get config limits": "", "keys config": "", "stats": ""}
    assert loaded == {**quiet, "stats config": "zmq"}


def test_stopped_tree_is_read_and_not_written(tmp_path: Path) -> None:
    """What needs it says so at once."""
    with FullTree(tmp_path / "home") as tree:
        tree.hourbook("kv", "set", "config", "k", "v")
        tree.stop()

        assert kv(tree, "get", "config", "k") == (0, "v\n")
        for words in (("set", "config", "k", "w"), ("locks",), ("watch", "config")):
            refused = tree.hourbook("kv", *words)
            assert (refused.returncode, refused.stderr.count("\n")) == (6, 1)


SHARED_MEMORY = {
    "analysis-results": {
        "value": {"complexity": "high"},
        "namespace": "task_results",
        "dataType": "persistent",
        "ttl": 24 * 3600 * 1000,
        "metadata": {"analysisType": "code-quality"},
        "agentId": "code-analyzer-001",
        "version": 3,
        "accessCount": 17,
    },
    "cross_agent:shared-analysis": {"value": 85, "timestamp": 1e12, "ttl": 1000},
    "shared_state": {
        "counter": {"value": 7, "dataType": "LOCKED", "updatedAt": "2026-01-01T00:00:00Z"},
        "strange": {"value": None, "dataType": "quantum", "agentId": "a1"},
        "broken": "no entry",
    },
    "entries": [{"key": "x" * 2000, "value": 1}, {"key": "listed", "value": [1], "ttl": "soon"}],
    "stats": {"reads": 5},
}
COUNTS = ("imported", "preserved", "unchanged", "kept", "expired", "refused")


def test_import_brings_each_key_once_and_drops_nothing(tree: FullTree, tmp_path: Path) -> None:
    """Counts add up, what is not understood is kept and named, and a second run changes nothing."""
    file = tmp_path / "shared-memory.json"
    file.write_text(json.dumps(SHARED_MEMORY))

    def run(*more: str) -> dict[str, Any]:
        result = tree.hourbook("kv", "import", str(file), "--json", *more)
        assert (result.returncode, result.stderr) == (1, "")
        report: dict[str, Any] = json.loads(result.stdout)
        assert set(report) <= documented_fields("import")
        assert report["total"] == sum(report[count] for count in COUNTS)
        return report

    tried = run("--dry-run")
    assert kv(tree, "keys", "imported", "--count") == (0, "0\n")
    first = run()
    head = tree.hourbook_json("head")["seq"]
    tree.hourbook("kv", "set", "default", "listed", "changed since")
    again = run()

    assert [first[count] for count in COUNTS] == [4, 3, 0, 0, 1, 0]
    assert [tried[count] for count in COUNTS] == [4, 3, 0, 0, 1, 0]
    assert [again[count] for count in COUNTS] == [0, 0, 7, 0, 1, 0]
    assert tree.hourbook_json("head")["seq"] == head + 1
    assert len(first["problems"]) == 5
    (found,) = kv_lines(tree, "get", "task_results", "analysis-results")
    assert (found["value"], found["type"]) == ({"complexity": "high"}, "persistent")
    assert found["expires"] is not None
    assert found["metadata"]["agentId"] == "code-analyzer-001"
    assert found["metadata"]["analysisType"] == "code-quality"
    assert found["metadata"]["import"]["accessCount"] == 17
    assert kv_lines(tree, "get", "shared_state", "counter")[0]["type"] == "locked"
    kept = kv_lines(tree, "keys", "imported", "--values")
    assert {"no entry", 5} <= {
        each["value"] if isinstance(each["value"], str) else each["value"].get("reads")
        for each in kept
    }


def test_import_keeps_another_value_that_is_there(tree: FullTree, tmp_path: Path) -> None:
    """And says so."""
    file = tmp_path / "shared-memory.json"
    file.write_text(json.dumps({"app": {"k": {"value": "theirs", "agentId": "a"}}}))
    tree.hourbook("kv", "set", "app", "k", "ours")

    result = tree.hourbook("kv", "import", str(file))

    assert result.returncode == 1
    assert "1 kept as they are here" in result.stdout
    assert "app.k: another value is there, and was kept" in result.stdout
    assert kv(tree, "get", "app", "k") == (0, "ours\n")


@pytest.mark.parametrize("content", [b"{", b"7", b"\xff\xfe", b"[" * 100_000])
def test_import_of_what_is_no_such_file_is_one_line(
    tree: FullTree, tmp_path: Path, content: bytes
) -> None:
    """Nothing is written."""
    file = tmp_path / "shared-memory.json"
    file.write_bytes(content)

    result = tree.hourbook("kv", "import", str(file))

    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.endswith(f", at {file}\n")


def test_schema_is_set_shown_enforced_and_cleared(tree: FullTree, tmp_path: Path) -> None:
    """A value that does not fit is refused with its path."""
    file = tmp_path / "schema.json"
    file.write_text('{"type": "object", "properties": {"port": {"type": "integer"}}}')
    assert kv(tree, "schema", "show", "strict") == (0, "strict: any value fits\n")
    shown = kv_lines(tree, "schema", "set", "strict", str(file))[0]
    assert set(shown) == documented_fields("schema")
    assert shown["schema"] == json.loads(file.read_text())

    refused = tree.hourbook("kv", "set", "strict", "k", '{"port": "x"}', "--value-json")
    assert kv(tree, "set", "strict", "k", '{"port": 1}', "--value-json")[0] == 0
    assert kv(tree, "schema", "clear", "strict") == (0, "strict: any value fits\n")
    assert kv(tree, "set", "strict", "k", "anything")[0] == 0

    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "port" in refused.stderr


@pytest.mark.parametrize("content", ["", '{"type": "objekt"}', "[1]"])
def test_file_that_is_no_schema_is_named(tree: FullTree, tmp_path: Path, content: str) -> None:
    """Whether it is no JSON, or no schema; and what was in force stays."""
    file = tmp_path / "none.json"
    file.write_text(content)

    result = tree.hourbook("kv", "schema", "set", "unmoved", str(file))

    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("hourbook: Expected ")
    assert result.stderr.endswith(f", at {file}\n")
    assert kv(tree, "schema", "show", "unmoved") == (0, "unmoved: any value fits\n")


def test_schema_is_read_from_standard_input(tree: FullTree) -> None:
    """As the help says of `-`."""
    result = tree.hourbook("kv", "schema", "set", "piped", "-", text_in=b'{"type": "string"}')

    assert (result.returncode, result.stdout) == (0, '{"type":"string"}\n')
    assert kv_lines(tree, "schema", "show", "piped")[0]["schema"] == {"type": "string"}


def test_integers_that_json_readers_would_round_are_strings_there_alone(tree: FullTree) -> None:
    """Sums, and versions of volatile keys; people and scripts get their digits."""
    big = 2**53
    tree.hourbook("kv", "set", "wide", "n", str(big), "--value-json")
    tree.hourbook("kv", "set", "cache", "n", "x")

    assert kv_lines(tree, "incr", "wide", "n")[0]["value"] == str(big + 1)
    assert kv(tree, "incr", "wide", "n") == kv(tree, "get", "wide", "n") == (0, f"{big + 2}\n")
    assert kv(tree, "get", "wide", "n", "--raw") == (0, str(big + 2))
    (found,) = kv_lines(tree, "get", "cache", "n")
    assert isinstance(found["version"], str)
    assert isinstance(found["created"], str)
    (written,) = kv_lines(tree, "set", "cache", "n", "y", "--if-version", found["version"])
    assert int(written["version"]) > int(found["version"])
    assert kv_lines(tree, "delete", "cache", "n")[0]["version"] > written["version"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("get", "config", "motd", "--raw", "--json"), "--raw or --json, got both"),
        (("keys", "config", "--values", "--count"), "--values or --count, got both"),
        (("get", "config", "motd", "--version", "0"), "--version"),
        (("get", "config", "motd", "--version", "1"), "(its history has them)"),
        (("set", "config", "deep", "[" * 29 + "]" * 29, "--value-json"), "28 of them of a value"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_line(
    tree: FullTree, arguments: tuple[str, ...], said: str
) -> None:
    """And the line says what could be."""
    result = tree.hourbook("kv", *arguments)

    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert said in result.stderr


def test_value_may_be_as_deep_as_the_refusal_says(tree: FullTree) -> None:
    """Four levels of the message are not its own."""
    assert kv(tree, "set", "config", "deep", "[" * 28 + "]" * 28, "--value-json")[0] == 0
    assert kv(tree, "get", "config", "deep") == (0, "[" * 28 + "]" * 28 + "\n")


@pytest.mark.parametrize("word", ["--stdn", "-x", "-"])
def test_set_takes_no_slip_for_the_value(tree: FullTree, word: str) -> None:
    """What begins with a dash and is no number stands after `--`, as everywhere."""
    result = tree.hourbook("kv", "set", "dashed", "slip", word, text_in=b"meant")

    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "Unknown option" in result.stderr
    assert tree.hourbook("kv", "get", "dashed", "slip").returncode == 1
    assert kv(tree, "set", "dashed", "k", "-5")[0] == 0
    assert kv(tree, "set", "dashed", "k", "--", word)[0] == 0
    assert kv(tree, "get", "dashed", "k") == (0, f"{word}\n")
