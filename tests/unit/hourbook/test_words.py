"""Figures and texts as a person reads them."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hourbook.cli import app, exit_codes, out
from hourbook.cli.leading_home import home_after_command
from hourbook.cli.run import _os_text, run
from hourbook.cli.tables import table
from hourbook.words import (
    age_text,
    bound_text,
    counted,
    cut_to,
    duration_text,
    interval_text,
    size_text,
    text_width,
    visible,
)
from protocols import errors


@pytest.mark.parametrize(
    ("duration_ns", "expected"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (-45, "-45 ns"),
        (1_500, "1.5 us"),
        (1_234_567, "1.235 ms"),
        (10_000_000_000, "10 s"),
    ],
)
def test_duration_text_takes_the_unit_that_fits(duration_ns: int, expected: str) -> None:
    """Four digits at most, and a unit that is read at a glance."""
    assert duration_text(duration_ns) == expected


def test_interval_text_gives_both_sides_or_says_that_there_is_none() -> None:
    """An interval is rarely symmetric about the estimate."""
    assert interval_text(1000, 500, 3000) == "-500 ns .. +2 us"
    assert interval_text(1000, None, None) == "unbounded: nothing can be promised"
    assert bound_text(-1) == bound_text(None) == "unbounded"
    assert bound_text(1_000_000) == "±1 ms"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.04, "0.0s"), (59.9, "59.9s"), (250, "4m10s"), (7_500, "2h05m"), (273_600, "3d04h")],
)
def test_age_text_fits_a_column(seconds: float, expected: str) -> None:
    """Ages are short, and sort by their unit."""
    assert age_text(seconds) == expected


def test_size_text_takes_binary_units() -> None:
    """Sizes read as in `top`."""
    assert [size_text(size) for size in (0, 512, 33_030_144)] == ["0 B", "512 B", "31.5 MiB"]


def test_visible_shows_what_could_drive_a_terminal() -> None:
    """Escapes, newlines, NUL, reversed text and lone surrogates become text; emoji stay."""
    shown = visible("\x1b[2Jred\nnew\0nul \u202eevil \udcff ok 🎉 é")

    assert shown == r"\x1b[2Jred\nnew\x00nul \u202eevil \udcff ok 🎉 é"


def test_visible_cuts_with_an_ellipsis() -> None:
    """A long text ends where the column does."""
    assert visible("abcdef", length_max=4) == "abc…"
    assert visible("abcd", length_max=4) == "abcd"


@given(st.text(st.characters(codec=None)))
def test_visible_is_always_one_printable_line(text: str) -> None:
    """Whatever an entry holds, it prints as one line in UTF-8."""
    shown = visible(text)

    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown
    shown.encode()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BadRequest("x"), exit_codes.USAGE),
        (errors.VersionConflict("x"), exit_codes.FOUND_WRONG),
        (errors.TokenStale("x"), exit_codes.FOUND_WRONG),
        (errors.BranchConflict("x"), exit_codes.FOUND_WRONG),
        (errors.LockTimeout("x"), exit_codes.TIMED_OUT),
        (errors.HomeUnusable("x"), exit_codes.OPERATOR),
        (errors.DiskFull("x"), exit_codes.OPERATOR),
        (errors.ClockUnavailable("x"), exit_codes.UNREACHABLE),
        (errors.SupervisorUnreachable("x"), exit_codes.UNREACHABLE),
        (errors.WaitTimeout("x"), exit_codes.TIMED_OUT),
        (errors.OutcomeUnknown("x"), exit_codes.TIMED_OUT),
        (errors.InternalError("x"), exit_codes.INTERNAL),
        (errors.HourbookError("x"), exit_codes.INTERNAL),
    ],
)
def test_exit_code_tells_who_must_act(error: errors.HourbookError, code: int) -> None:
    """A script can tell a typo from a full disk from a tree that is down."""
    assert exit_codes.exit_code_of(error) == code


def test_counted_speaks_of_one_in_the_singular() -> None:
    """One entry is the first thing that a new user sees counted."""
    assert counted(1, "entry", "entries") == "1 entry"
    assert counted(0, "entry", "entries") == "0 entries"


@pytest.mark.parametrize("argv", [[], ["--help"]])
def test_help_says_what_each_command_does(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands are imported late, and still described in the list of them."""
    code = run(argv)

    shown = capsys.readouterr().out
    assert code == exit_codes.OK
    assert "Append an entry" in shown
    assert "Print UTC" in shown
    assert re.findall("─ ([A-Z][a-z ]+) ─", shown) == ["Commands", *app._SECTIONS]


@pytest.mark.parametrize("command", app._COMMANDS)
def test_help_of_each_command_has_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What to type is shown, not only said."""
    assert run([*command.split(), "--help"]) == exit_codes.OK

    shown = capsys.readouterr().out
    assert "Example" in shown or command == "completion"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("now extra words", "Expected no further argument, got 'extra words' (try --help)"),
        ("monitor -n 0", "Must be >= 1"),
    ],
)
def test_mistake_is_named_in_plain_words(
    line: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr, and nothing of how Python writes a list or where a file would go."""
    assert run(line.split()) != exit_codes.OK

    said = capsys.readouterr()
    assert text in said.err
    assert (said.out, len(said.err.splitlines())) == ("", 1)


def test_missing_directory_is_named_not_the_file_that_was_to_be_made_there(tmp_path: Path) -> None:
    """A backup into a directory that is not there does not speak of its own temporary file."""
    assert _os_text(FileNotFoundError(2, "No such file", str(tmp_path / "no" / ".b.partial"))) == (
        f"No such directory, at {tmp_path / 'no'}"
    )
    assert _os_text(FileNotFoundError(2, "No such file", str(tmp_path / "b"))).endswith("/b")


@pytest.mark.parametrize(
    ("argv", "moved"),
    [
        (["--home", "d", "now", "--json"], ["now", "--home", "d", "--json"]),
        (["--home=d", "kv", "get", "a", "b"], ["kv", "get", "--home=d", "a", "b"]),
        (["now", "--home", "d"], ["now", "--home", "d"]),
        (["--home", "d"], ["--home", "d"]),
        (["--home"], ["--home"]),
        ([], []),
    ],
)
def test_home_may_stand_before_the_command(argv: list[str], moved: list[str]) -> None:
    """Of a group, both words are the command."""
    assert home_after_command(argv, {"kv"}) == moved


def test_argument_that_begins_with_a_dash_is_told_where_it_belongs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It looks like an option, and may be a key."""
    assert run(["kv", "get", "app", "-dash"]) == exit_codes.USAGE

    assert "'-dash'; what is none and begins with a dash stands after --" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("漢漢", 4, "漢漢"),
        ("漢漢", 3, "漢…"),
        ("漢漢", 2, "…"),
        ("e\u0301e\u0301", 2, "e\u0301e\u0301"),
        ("e\u0301e\u0301e", 2, "e\u0301…"),
        ("\u0939\u093f\u0902\u0926\u0940", 3, "\u0939\u093f\u0902…"),
        ("\u3099漢", 2, "\u3099漢"),
        ("a\u200db", 2, "a\u200db"),
    ],
)
def test_text_is_cut_to_columns_of_a_terminal(text: str, width: int, shown: str) -> None:
    """Wide letters take two of them, marks on other letters and joiners none."""
    assert cut_to(text, width) == shown


@given(st.text("ab漢e\u0301\u3099\u200d", max_size=12), st.integers(1, 20))
def test_a_text_that_is_cut_fits_and_loses_no_more_than_it_must(text: str, width: int) -> None:
    """One that fits stays whole."""
    cut = cut_to(text, width)

    assert text_width(cut) <= width
    if text_width(text) <= width:
        assert cut == text
    else:
        assert text.startswith(cut.removesuffix("…"))
        assert text_width(cut) >= width - 1


def test_columns_of_a_table_stand_under_each_other_whatever_letters_are_in_them() -> None:
    """A wide letter is two columns of a terminal."""
    rows = table([("LOCK", "TOKEN"), ("app/日本", "7"), ("app/e\u0301", "12")])

    assert rows == ["LOCK      TOKEN", "app/日本      7", "app/e\u0301        12"]


def test_lines_fit_the_terminal_and_are_whole_in_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table is cut; text goes on below where it began."""
    line = "status    READY for all of those who ask"
    for width in (30, None):
        monkeypatch.setattr(out, "terminal_width", lambda width=width: width)
        out.emit_rows([line])
        out.emit_wrapped([line], indent=10)

    cut, first, second, *whole = capsys.readouterr().out.splitlines()

    assert cut == "status    READY for all of th…"
    assert (first, second) == ("status    READY for all of", "          those who ask")
    assert whole == [line, line]
