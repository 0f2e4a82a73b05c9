"""The words of the `supervisor` command that need no running tree."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from hourbook.home import Home
from protocols import errors
from supervisor import cli, exit_codes
from supervisor.add_spec import read_spec

COMMANDS = (
    "start", "stop", "restart", "add", "remove", "status", "tail", "top", "events", "reload",
    "validate",
)  # fmt: skip


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 2),
        (errors.BadRequest("x"), 2),
        (errors.UnknownName("x"), 2),
        (errors.HomeUnusable("x"), 2),
        (errors.StartFailed("x"), 3),
        (errors.AlreadyRunning("x"), 4),
        (errors.SupervisorUnreachable("x"), 6),
        (errors.WaitTimeout("x"), 7),
        (errors.InternalError("x"), 1),
    ],
)
def test_exit_code_says_who_must_act(error: errors.HourbookError, code: int) -> None:
    """The codes are those of the design."""
    assert exit_codes.code_of(error) == code


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("frob", 'Unknown command "frob"'),
        ("status --frob", "Unknown option: --frob"),
        ("restart", "requires an argument"),
        ("start --wait soon", "--wait"),
        ("start --wait 0", "--wait must be > 0"),
        ("start --log-level loud", "--log-level"),
        ("start metrics --detach", "Expected NAME alone"),
        ("tail x -n -1", "--lines must be >= 0"),
        ("stop a b", "b"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], line: str, text: str
) -> None:
    """A wrong word is named; nothing is started."""
    code = cli.run(line.split())

    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    assert text in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize(
    "line",
    ["status", "status --json", "stop", "stop x", "restart x", "remove x", "events", "reload",
     "start x", "add {name='x',class='m:C'}"],
)  # fmt: skip
def test_command_without_a_supervisor_is_exit_6(
    capsys: pytest.CaptureFixture[str], home: Home, line: str
) -> None:
    """Whoever asks a tree that does not run is told how to start it."""
    code = cli.run([*line.split(), "--home", str(home.path)])

    said = capsys.readouterr().err
    assert code == 6
    assert f"for {home.path}" in said
    assert "run `supervisor start`" in said
    assert len(said.splitlines()) == 1


def test_socket_of_a_dead_supervisor_is_exit_6(
    capsys: pytest.CaptureFixture[str], home: Home
) -> None:
    """A socket file that nobody serves is not waited for."""
    Path(home.mailbox("supervisor")).touch()

    assert cli.run(["status", "--home", str(home.path)]) == 6
    assert "got none" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_an_example(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Help is there and shows how, at least where there is something to choose."""
    code = cli.run([command, "--help"])

    shown = capsys.readouterr().out
    assert code == 0
    assert f"Usage: supervisor {command}" in shown
    assert "Examples:" in shown or command in ("top", "reload")


def test_help_lists_commands_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """The first page tells what there is and what the codes mean."""
    assert cli.run(["--help"]) == 0

    shown = capsys.readouterr().out
    assert [command for command in COMMANDS if f"│ {command} " not in shown] == []
    assert "6 cannot reach the supervisor" in shown


def test_completion_can_be_made() -> None:
    """The shells get a script that knows every command."""
    script = cli.app.generate_completion(shell="bash")  # noqa: S604 - the name of a shell

    assert [command for command in COMMANDS if command not in script] == []


def test_validate_prints_every_mistake(
    capsys: pytest.CaptureFixture[str], home: Home, tmp_path: Path
) -> None:
    """One line for each, in the form that the design promises, and exit 2."""
    file = tmp_path / "hourbook.toml"
    file.write_text("[actor.journal_writer]\nshutdown_s = -3\nrestart = 'x'\n", encoding="utf-8")

    code = cli.run(["validate", str(file), "--home", str(home.path)])

    assert code == 2
    said = capsys.readouterr().err.splitlines()
    path = "hourbook.toml: actor.journal_writer"
    assert said == [
        f'{path}.shutdown_s: -3: must be > 0, "infinity" or "kill"',
        f'{path}.restart: "x": must be "permanent", "transient" or "temporary"',
    ]


def test_validate_of_the_defaults_is_exit_0(capsys: pytest.CaptureFixture[str], home: Home) -> None:
    """No file needed."""
    assert cli.run(["validate", "--home", str(home.path)]) == 0
    assert capsys.readouterr().out == "ok: the defaults (no file): 4 nodes, 7 actors\n"


def test_entry_script_imports_nothing() -> None:
    """Spawn imports the main module again in every actor: it must cost nothing."""
    code = (
        "import sys; before = set(sys.modules); import supervisor.command;"
        "print(*sorted(set(sys.modules) - before))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["supervisor", "supervisor.command"]


def test_reader_that_has_enough_ends_the_command_quietly(home: Home) -> None:
    """`supervisor validate --json | head -0` is no error."""
    command = [sys.executable, "-m", "supervisor", "validate", "--json", "--home", str(home.path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()

    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(20) == 0
    process.stderr.close()


# -- SPEC of `add` ------------------------------------------------------------------------------


def test_spec_from_each_source_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An inline table, a file and stdin say the same thing."""
    text = "[actor.probe]\nclass = 'm:C'\nrestart = 'transient'\n"
    file = tmp_path / "probe.toml"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    expected = {"name": "probe", "class": "m:C", "restart": "transient"}

    assert read_spec(" {name = 'probe', class = 'm:C', restart = 'transient'}") == expected
    assert read_spec(str(file)) == expected
    assert read_spec("-") == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "spec: Invalid"),
        ("{name = 'x'}", "spec: actor.class: missing: must be module:Class"),
        ("{name = 'x', class = 'm:C'}\ny = 1", "spec: must be one inline table"),
        ("{name = 'X', class = 'm:C'}", 'spec: actor.name: "X": must be a lower-case letter'),
        ("missing.toml", "spec: missing.toml: must be a file, - or an inline table: No such file"),
        ("/", "Is a directory"),
    ],
)
def test_wrong_spec_is_refused_before_anything_is_sent(text: str, problem: str) -> None:
    """Mistakes are named here."""
    with pytest.raises(errors.ConfigError, match=problem):
        read_spec(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[actor.a]\nclass='m:C'\n[actor.b]\nclass='m:C'", "must hold exactly one table"),
        ("[node.a]\n", "must hold exactly one table"),
        ("actor = 3", "must hold exactly one table"),
        ("[actor]\na = 3", "actor.a: must be a table"),
        ("\xff", "must be UTF-8"),
    ],
)
def test_spec_file_holds_one_actor(tmp_path: Path, text: str, problem: str) -> None:
    """Anything beside one actor's table is refused."""
    file = tmp_path / "probe.toml"
    file.write_bytes(text.encode("latin-1"))

    with pytest.raises(errors.ConfigError, match=problem):
        read_spec(str(file))
