"""A user's C program, which knows the clock by its header alone, reads what Python reads."""

import os
import re
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from fakes.time_pages import page_now, raw_ns, segment_bytes, state

import hourbook
from hourbook.faces.clock import Clock
from hourbook.home import Home
from shm import layout, segment
from shm.layout import Status
from shm.writer import TimeWriter

SOURCE = Path(__file__).with_name("c_reader.c")
STRICT = ["-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"]
HEADER = hourbook.clock_header()
S = 1_000_000_000


def built(directory: Path, *command: str, header: Path | None = None) -> Path:
    """Compile the program against the installed header, or a copy, and nothing else."""
    program = directory / "c_reader"
    include = f"-I{(header or HEADER).parent}"
    subprocess.run([*command, *STRICT, include, SOURCE, "-o", program], check=True, timeout=60)
    return program


@pytest.fixture(scope="module")
def c_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program, as strict C11."""
    return built(tmp_path_factory.mktemp("c"), os.environ.get("CC", "cc"), "-std=c11")


@pytest.fixture(scope="module")
def cpp_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program, as strict C++17."""
    directory = tmp_path_factory.mktemp("cpp")
    return built(directory, os.environ.get("CXX", "c++"), "-std=c++17", "-x", "c++")


@pytest.fixture(scope="module")
def impatient_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program that waits for no writer: what a reader does that was put aside."""
    directory = tmp_path_factory.mktemp("impatient")
    text, count = re.subn(
        r"(?<=^#define HOURBOOK_PATIENCE_NS )\d+$", "0", HEADER.read_text(), flags=re.MULTILINE
    )
    assert count == 1
    header = directory / HEADER.name
    header.write_text(text)
    return built(directory, os.environ.get("CC", "cc"), "-std=c11", header=header)


def run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the program to its end, however busy the machine is."""
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("program", ["c_reader", "cpp_reader"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rate": -(1 << 34), "slew_ppb": 300_000, "slew_end_raw_ns": 1 << 62},
        {"state": state(Status.DISRUPTED)},
        {"earliest_off_ns": layout.UNBOUNDED_EARLIEST_NS},
        {"poll_ns": 0},
        {"void_after_raw_ns": 1},
        {"boottime_minus_monotonic_ns": -S},
        {"sigma_offset_ns": 12_345, "sigma_rate_ppb": 777},
    ],
    ids=lambda changes: ",".join(changes) or "plain",
)
def test_c_and_python_agree(
    program: str, changes: dict[str, Any], home: Home, request: pytest.FixtureRequest
) -> None:
    """The same five numbers at any instant, whatever the page says."""
    writer = TimeWriter(home.segment)
    page = writer.publish(page_now(**changes), is_step=True)
    offsets = (-S, 0, 1, 12_345_678_901, -7 * S, 3600 * S, 1 << 61)
    instants = [page.as_of_raw_ns + offset for offset in offsets]
    python = [Clock(home).at(instant) for instant in instants]

    result = run(request.getfixturevalue(program), home.segment, "at", *instants)

    assert [tuple(map(int, line.split())) for line in result.stdout.splitlines()] == [
        (r.time_ns, r.earliest_ns, r.latest_ns, r.sigma_ns, int(r.status)) for r in python
    ]
    writer.close()


@pytest.mark.parametrize("program", ["c_reader", "impatient_reader"])
def test_c_reader_keeps_up_with_a_writer_at_full_speed(
    program: str, home: Home, request: pytest.FixtureRequest
) -> None:
    """Never back in time, outside its interval or without a page, while pages change under it."""
    reader = request.getfixturevalue(program)
    writer = TimeWriter(home.segment)
    writer.publish(page_now(), is_step=True)
    fresh_ns = raw_ns() + 600 * S  # however long the machine takes for this
    pages = [page_now(rate=rate << 30, published_raw_ns=fresh_ns).pack() for rate in (-1, 0, 1)]
    publish = writer._page.publish
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            for page in pages:
                publish(page, False)  # noqa: FBT003 - the C method takes no keywords

    thread = threading.Thread(target=write)
    thread.start()
    try:
        result = run(reader, home.segment, "race", 1_000_000)
    finally:
        done.set()
        thread.join()

    backward, outside, other, seen = map(int, result.stdout.split())
    assert (backward, outside, other) == (0, 0, 0)
    assert seen >= 200
    writer.close()


@pytest.mark.parametrize(
    ("change", "error"), [("none", 1), ("version", 2), ("short", 2), ("boot", 3), ("closed", 4)]
)
def test_c_reader_refuses_what_it_cannot_trust(
    c_reader: Path, tmp_path: Path, change: str, error: int
) -> None:
    """Each kind of unusable segment has its own answer, as in Python."""
    path = tmp_path / "segment"
    boot_id = bytes(16) if change == "boot" else segment.current_boot_id()
    if change == "short":
        path.write_bytes(segment_bytes(page_now())[:4096])
    elif change != "none":
        segment.create(path, boot_id)
    if change == "version":
        with path.open("r+b") as file:
            file.seek(16)
            file.write((2).to_bytes(8, "little"))
    if change == "closed":
        segment.mark_closed(path)

    result = run(c_reader, path, "at", raw_ns())

    assert (result.returncode, result.stdout) == (1, f"error {error}\n")


def test_c_reader_follows_to_a_rebuilt_segment(c_reader: Path, home: Home) -> None:
    """The old one is marked closed, so the next reading looks for the new one."""
    first = TimeWriter(home.segment)
    page = first.publish(page_now(), is_step=True)
    command = [str(c_reader), str(home.segment), "replaced"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        first.close()
        segment.create(home.segment, segment.current_boot_id())
        second = TimeWriter(home.segment)

        second.publish(page_now(utc_at_as_of_ns=page.utc_at_as_of_ns + 3600 * S), is_step=True)

        assert process.communicate(timeout=20)[0] == f"{int(Status.SYNCHRONIZED)}\n"
    second.close()


def test_header_leaves_every_other_name_to_its_user() -> None:
    """All that it defines begins with its own name; _DEFAULT_SOURCE belongs to the C library."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    macros = re.findall(r"^#define (\w+)", text, flags=re.MULTILINE)
    functions = re.findall(r"^static inline .*?(\w+)\(", text, re.MULTILINE)
    types = re.findall(r"(?:^typedef (?:enum|struct)|^\}|__int128) (\w+)", text, re.MULTILINE)

    assert len(macros) > 10
    assert len(functions) > 25
    assert len(types) > 10
    strangers = {n for n in (*macros, *functions, *types) if not n.lower().startswith("hourbook_")}
    assert strangers == {"_DEFAULT_SOURCE"}
