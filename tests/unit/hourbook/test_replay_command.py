"""`hourbook clock replay`: its output, its documented JSON, its picture, its failures."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from fakes.clock_series import DATA

from hourbook.cli.replay_text import COLUMNS
from hourbook.cli.run import run

RECORDING = DATA / "drift_aware_9hr.csv"
CLI_DOC = Path(__file__).parents[3] / "docs" / "CLI.md"


def replay(*words: str | Path) -> int:
    """Run the command in this process."""
    return run(["clock", "replay", *map(str, words)])


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """Return stdout; nothing may stand on stderr."""
    out, err = capsys.readouterr()
    assert err == ""
    return out


def names_in(document: dict[str, Any]) -> set[str]:
    """Return every name in a JSON document."""
    names = set(document)
    for value in document.values():
        if isinstance(value, dict):
            names |= names_in(value)
    return names


def test_rows_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """One for each of the input, at its time; the interval where a delay is known."""
    assert replay(RECORDING) == 0

    rows = list(csv.DictReader(io.StringIO(printed(capsys))))
    with RECORDING.open() as file:
        asked = [float(row["t_s"]) for row in csv.DictReader(file)]
    assert tuple(rows[0]) == COLUMNS
    assert [float(row["t_s"]) for row in rows] == asked
    assert [row["earliest_ms"] == "" for row in rows[:3]] == [True, False, False]
    for row in rows[1:]:
        centre = float(row["predicted_offset_ms"])
        assert float(row["earliest_ms"]) <= centre <= float(row["latest_ms"])
        assert 0 < float(row["q68_ms"]) <= float(row["q95_ms"])


def test_out_takes_the_rows_and_people_get_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same rows as on stdout; the figures of every predictor."""
    replay(RECORDING)
    rows = printed(capsys)

    assert replay(RECORDING, "--out", tmp_path / "o.csv") == 0

    table = printed(capsys)
    assert (tmp_path / "o.csv").read_text() == rows
    assert re.findall(r"^(hourbook|hold|line-20|median-10|zero) ", table, re.MULTILINE) == [
        "hourbook", "hold", "line-20", "median-10", "zero"
    ]  # fmt: skip
    assert "of the best baseline, median-10" in table
    assert "hard interval of 315 rows: 0 contradicted by the row itself" in table


def test_json_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """One line of ASCII; each of its names stands in docs/CLI.md."""
    assert replay(RECORDING, "--json", "--horizon", "600") == 0

    text = printed(capsys)
    document = json.loads(text)
    described = CLI_DOC.read_text().partition("### clock replay")[2].partition("\n### ")[0]
    assert text.isascii()
    assert text.count("\n") == 1
    assert (document["rows"], document["judged"], document["horizon_s"]) == (335, 315, 600.0)
    assert [name for name in names_in(document) if name not in described] == []
    assert [name for name in COLUMNS if f"`{name}`" not in described] == []


def test_assumed_delay_gives_an_interval(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without one a recording of offsets alone has none, and the same centre."""
    path = tmp_path / "x.csv"
    path.write_text("t_s,offset_ms\n0,1\n64,2\n128,1.5\n")

    replay(path)
    plain = printed(capsys).splitlines()
    replay(path, "--assume-delay-ms", "20")
    assumed = printed(capsys).splitlines()

    assert plain[3].split(",")[5:7] == ["", ""]
    assert "" not in assumed[3].split(",")


def test_assumed_delay_counts_where_an_interval_is_contradicted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row may lie outside of what was predicted as far as its own assumed delay reaches."""
    path = tmp_path / "x.csv"
    rows = [f"{64 * n},{11 if n == 24 else 0}" for n in range(30)]
    path.write_text("\n".join(["t_s,offset_ms", *rows, ""]))

    found = []
    for delay_ms in (20, 2):
        replay(path, "--json", "--assume-delay-ms", str(delay_ms))
        found.append(json.loads(printed(capsys))["interval"]["contradicted"])

    assert found[0] == 0 < found[1]


def replayed_by_another(
    recording: str | Path, *words: str, content: bytes = b""
) -> CompletedProcess[bytes]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "hourbook.command", "clock", "replay", str(recording), *words]
    return subprocess.run(command, input=content, capture_output=True, check=False)


def test_stdin_and_byte_order_mark_are_read() -> None:
    """What another program writes is read as it comes."""
    done = replayed_by_another("-", content=b"\xef\xbb\xbft_s,offset_ms\r\n0,1\r\n64,2\r\n")

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n") == 3


def test_missing_recording_is_one_line_and_a_code(tmp_path: Path) -> None:
    """The operating system's words, and the name."""
    done = replayed_by_another(tmp_path / "none.csv")

    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.decode() == (
        f"hourbook: No such file or directory, at {tmp_path / 'none.csv'}\n"
    )


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"", 2, "Expected a header line with t_s and offset_ms, got an empty file, at {path}"),
        (b"a,b\n1,2\n", 2, "Expected the columns t_s and offset_ms, got a, b, at {path}, line 1"),
        (b"t_s,offset_ms\n0,1\n1,NaN\n", 2, "Expected a number in `offset_ms`, got 'NaN', at"),
        (b"t_s,offset_ms\n5,1\n4,1\n", 2, "Expected `t_s` above 5.0, got 4.0, at {path}, line 3"),
        (b"t_s,offset_ms\n0,\xff\n", 2, "Expected UTF-8, got other bytes, at {path}, line 2"),
        (b"x" * 200_000, 2, "Expected lines of at most 65536 characters, got 65537, at {path}"),
    ],
)
def test_bad_recordings_are_one_line_and_a_code(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    code: int,
    message: str,
) -> None:
    """Which line is wrong, and no traceback."""
    path = tmp_path / "bad.csv"
    path.write_bytes(content)

    assert replay(path) == code

    complaint = capsys.readouterr().err
    assert complaint.startswith(f"hourbook: {message.format(path=path)}")
    assert complaint.count("\n") == 1


@pytest.mark.parametrize("content", ["", "t_s,offset_ms\n", "t_s\n1\n", "t_s,offset_ms\n0,x\n"])
def test_what_is_no_recording_costs_no_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    """Not a header on stdout, and not the file of an earlier run."""
    recording, kept = tmp_path / "bad.csv", tmp_path / "kept.csv"
    recording.write_text(content)
    kept.write_text("kept")

    codes = (replay(recording), replay(recording, "--out", kept))

    assert (codes, capsys.readouterr().out) == ((2, 2), "")
    assert kept.read_text() == "kept"


@pytest.mark.parametrize(
    ("out", "complaint"),
    [
        ("none/o.csv", "No such directory, at {path.parent}"),
        (".", "Is a directory, at {path}"),
        ("/dev/full", "No space left on device"),
    ],
)
def test_output_that_cannot_be_written_is_one_line(
    tmp_path: Path, out: str, complaint: str
) -> None:
    """What is wrong with it, and where; with its own exit code."""
    path = tmp_path / out

    done = replayed_by_another(RECORDING, "--out", str(path))

    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.decode() == f"hourbook: {complaint.format(path=path)}\n"


def test_horizon_beyond_the_recording_leaves_nothing_to_judge(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every row is predicted from nothing; the figures are null, and the table says why."""
    assert replay(RECORDING, "--json", "--horizon", "1e6") == 0
    document = json.loads(printed(capsys))
    assert replay(RECORDING, "--horizon", "1e6", "--out", "/dev/null") == 0

    assert (document["judged"], document["hourbook"]["raw"]["mae_ms"]) == (0, None)
    assert printed(capsys) == "335 rows: too few to judge (more than 20)\n"


def test_recording_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same file for input and output would be empty before it is read."""
    path = tmp_path / "x.csv"
    path.write_text("t_s,offset_ms\n0,1\n")

    assert replay(path, "--out", path) == 2

    assert "Expected another file than the recording for --out" in capsys.readouterr().err
    assert path.read_text() == "t_s,offset_ms\n0,1\n"


@pytest.mark.parametrize(
    "words", [("--horizon", "-1"), ("--assume-delay-ms", "-1"), ("--horizon", "nan")]
)
def test_options_have_ranges(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """A horizon in the past is a mistake."""
    assert replay(RECORDING, *words) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_plot_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A picture, and the figures beside it."""
    pytest.importorskip("matplotlib")

    assert replay(RECORDING, "--plot", tmp_path / "x.png") == 0
    assert replay(RECORDING, "--plot", tmp_path / "x.docx") == 2

    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert "Expected --plot to end in .png, .svg, .pdf" in capsys.readouterr().err


def test_plot_of_anything_has_room_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Offsets of a second and ten of a century, and a single row; a spike may leave the picture."""
    pytest.importorskip("matplotlib")
    from hourbook.cli.replay_plot import limits_of  # noqa: PLC0415 - needs an extra

    one = tmp_path / "one.csv"
    one.write_text("t_s,offset_ms\n0,1\n")

    assert replay(one, "--plot", tmp_path / "one.svg") == 0
    assert printed(capsys) == "1 row: too few to judge (more than 20)\n"
    assert limits_of([]) == (-1.0, 1.0)
    assert limits_of([7.0, 7.0]) == (6.0, 8.0)
    for level in (1000.0, -3e11):
        low, high = limits_of([level + n / 100 for n in range(1000)] + [level + 500])
        assert level - 3 < low < level < level + 9.9 < high < level + 13


def test_plot_without_matplotlib_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What to install, before anything is replayed."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "hourbook.cli.replay_plot", raising=False)

    assert replay(RECORDING, "--plot", tmp_path / "x.png") == 3

    assert "pip install 'hourbook[plot]'" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_replay_loads_no_arrays() -> None:
    """The model is plain Python: no numpy, no matplotlib, no sockets."""
    heavy = {"numpy", "matplotlib", "zmq", "rich", "asyncio"}
    code = (
        "import sys; from hourbook.cli.run import run; "
        f"run(['clock', 'replay', {str(RECORDING)!r}, '--json']); "
        f"print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "[]"
