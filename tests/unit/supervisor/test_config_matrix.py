"""A06 and A07: every field of the configuration against every kind of wrong value."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from hourbook.home import Home, find_home
from protocols import errors
from supervisor import config, spec
from supervisor.mistakes import find_problems
from supervisor.render import tree_json
from supervisor.spec import Settings

NUMBER = "must be > 0"
COUNT = "must be a whole number >= 0"
FLAG = "must be true or false"
NAME = "must be a lower-case letter, then at most 62 of a-z, 0-9, _"
RESTART = 'must be "permanent", "transient" or "temporary"'

ACTOR_ROWS = [
    ("class", '"actors"', 'class: "actors": must be module:Class'),
    ("class", '"a:B\\n"', 'class: "a:B\\n": must be module:Class'),
    ("class", "3", "class: 3: must be module:Class"),
    ("config_type", '"x"', 'config_type: "x": must be module:Struct, or ""'),
    ("config_type", '"no.such:X"', 'config_type: "no.such:X": must be module:Struct: No module'),
    ("config_type", '"os:path"', 'config_type: "os:path": must name a msgspec.Struct'),
    ("node", '"Time"', f'node: "Time": {NAME}'),
    ("node", '"nowhere"', "node: nowhere: no such node (have: book, edge, root, time)"),
    ("node", "[]", f"node: []: {NAME}"),
    ("restart", '"always"', f'restart: "always": {RESTART}'),
    ("restart", "true", f"restart: true: {RESTART}"),
    ("shutdown_s", "-3", 'shutdown_s: -3: must be > 0, "infinity" or "kill"'),
    ("shutdown_s", "0", 'shutdown_s: 0: must be > 0, "infinity" or "kill"'),
    ("shutdown_s", '"brutal"', 'shutdown_s: "brutal": must be > 0, "infinity" or "kill"'),
    ("shutdown_s", "nan", 'shutdown_s: nan: must be finite, and > 0, "infinity" or "kill"'),
    ("start_timeout_s", "0", f"start_timeout_s: 0: {NUMBER}"),
    ("start_timeout_s", "inf", "start_timeout_s: inf: must be finite, and > 0"),
    ("start_timeout_s", '"5 s"', f'start_timeout_s: "5 s": {NUMBER}'),
    ("watchdog_s", "-0.1", f"watchdog_s: -0.1: {NUMBER}"),
    ("watchdog_s", "{}", f"watchdog_s: {{}}: {NUMBER}"),
    ("significant", "1", f"significant: 1: {FLAG}"),
    ("significant", "true", "significant: true: a permanent child cannot be significant"),
    ("backoff", "3", "backoff: 3: must be a table"),
    ("backoff.base_s", "-1", "backoff.base_s: -1: must be >= 0"),
    ("backoff.cap_s", '"x"', 'backoff.cap_s: "x": must be >= 0'),
    ("backoff.reset_s", "0", f"backoff.reset_s: 0: {NUMBER}"),
    ("backoff.jitter", "0", "backoff.jitter: unknown key: must be one of base_s, cap_s, reset_s"),
    ("limits", "[]", "limits: []: must be a table"),
    ("limits.rss_mib", "-1", f"limits.rss_mib: -1: {COUNT}"),
    ("limits.open_files", "1.5", f"limits.open_files: 1.5: {COUNT}"),
    ("limits.core_mib", "true", f"limits.core_mib: true: {COUNT}"),
    ("cpu", "0", "cpu: 0: must be a list, each a whole number >= 0"),
    ("cpu", "[-1]", f"cpu[0]: -1: {COUNT}"),
    ("cpu", "[99999]", "cpu[0]: 99999: must be one of"),
    ("env", "[]", "env: []: must be a table, each value a string"),
    ("env.PATH", "1", "env.PATH: 1: must be a string"),
    ("config", "7", "config: 7: must be a table"),
    ("config.freq_hz", "0.5", "config.freq_hz: 0.5: must be in 1..1000"),
    ("config.freq_hz", "1001", "config.freq_hz: 1001: must be in 1..1000"),
    ("config.freq_hz", '"100"', 'config.freq_hz: "100": must be in 1..1000'),
    ("config.freq", "100", "config.freq: unknown key: did you mean freq_hz?"),
    ("enabled", '"yes"', f'enabled: "yes": {FLAG}'),
    ("name", '"other"', "name: unknown key: must be one of backoff, class, config"),
    ("shutdwn_s", "3", "shutdwn_s: unknown key: did you mean shutdown_s?"),
]

NODE_ROWS = [
    ("node", '"book"', "order: time: belongs to node book"),
    ("node", '"time"', "node: cycle: time -> time"),
    ("node", "3", "node: 3: must be a string"),
    ("name", '"other"', "name: unknown key"),
    (
        "strategy",
        '"simple_one_for_one"',
        'must be "one_for_one", "one_for_all" or "rest_for_one"',
    ),
    ("intensity", "-1", f"intensity: -1: {COUNT}"),
    ("intensity", "2.5", f"intensity: 2.5: {COUNT}"),
    ("intensity", "100", "intensity: 100 in 60 s can never trip"),
    ("period_s", "0", f"period_s: 0: {NUMBER}"),
    ("period_s", "nan", "period_s: nan: must be finite, and > 0"),
    ("period_s", "1", "intensity: 5 in 1 s can never trip"),
    ("restart", '"never"', f'restart: "never": {RESTART}'),
    ("order", '"ntp_sampler"', "must be a list, each a string"),
    ("order", "[3]", "order[0]: 3: must be a string"),
    ("order", '["clock_model", "clock_model"]', "order: clock_model: duplicate"),
    ("order", '["nobody"]', "order: nobody: no such actor or node"),
    ("order", '["metrics"]', "order: metrics: belongs to node edge"),
    ("auto_shutdown", '"always"', 'must be "never", "any_significant" or "all_significant"'),
    ("on_escalation", '"ignore"', 'on_escalation: "ignore": must be "escalate" or "give_up"'),
    ("significant", "0", f"significant: 0: {FLAG}"),
    ("significant", "true", "significant: true: a permanent child cannot be significant"),
    ("shutdown_s", "5", "shutdown_s: unknown key: did you mean"),
]

SUPERVISOR_ROWS = [
    ("log_level", '"loud"', 'log_level: "loud": must be "debug", "info", "warning" or "error"'),
    ("log_file_mib", "0", "log_file_mib: 0: must be a whole number in 1..4096"),
    ("log_files", "101", "log_files: 101: must be a whole number in 1..100"),
    ("log_line_bytes", "79", "log_line_bytes: 79: must be a whole number in 80..1048576"),
    ("log_lines", "3", "log_lines: unknown key: did you mean"),
]

SCHEDULE = 'must be a cron line of five fields, "every N s|m|h|d", or "" for never'
SERVER = "must be HOST or HOST:PORT"
CONFIG_ROWS = [
    ("compactor", "verify", '"daily"', f'verify: "daily": {SCHEDULE}'),
    ("compactor", "verify", '"every 0 h"', f'verify: "every 0 h": {SCHEDULE}'),
    ("compactor", "backup", '"0 3 * * *\\n"', f'backup: "0 3 * * *\\n": {SCHEDULE}'),
    ("compactor", "checkpoint", '"every 1 h\\n"', f'checkpoint: "every 1 h\\n": {SCHEDULE}'),
    ("compactor", "checkpoint", '"\\n"', f'checkpoint: "\\n": {SCHEDULE}'),
    ("compactor", "checkpoint", "60", f"checkpoint: 60: {SCHEDULE}"),
    ("ntp_sampler", "servers", '["a b"]', f'servers[0]: "a b": {SERVER}'),
    ("ntp_sampler", "servers", '["ok", "a\\n"]', f'servers[1]: "a\\n": {SERVER}'),
    ("ntp_sampler", "servers", '["a:123456"]', f'servers[0]: "a:123456": {SERVER}'),
    ("ntp_sampler", "servers", "[7]", f"servers[0]: 7: {SERVER}"),
    ("metrics", "listen", '"9464"', 'listen: "9464": must be HOST:PORT'),
    ("metrics", "listen", '"a:65536"', 'listen: "a:65536": must be HOST:PORT'),
    ("mcp_server", "listen", '"a:99999"', 'listen: "a:99999": must be HOST:PORT'),
    ("mcp_server", "listen", '"a:1\\n"', 'listen: "a:1\\n": must be HOST:PORT'),
]

ROWS = [
    *((f"actor.{name}.config", key, value, text) for name, key, value, text in CONFIG_ROWS),
    *(("actor.shm_publisher", key, value, text) for key, value, text in ACTOR_ROWS),
    *(("node.time", key, value, text) for key, value, text in NODE_ROWS),
    *(("supervisor", key, value, text) for key, value, text in SUPERVISOR_ROWS),
]


def mistakes(home: Home, text: str, *overrides: str) -> list[str]:
    """Return the lines of the ConfigError that a file brings about; [] when it is sound."""
    home.config_file.write_text(text, encoding="utf-8")
    try:
        config.load(home, None, overrides)
    except errors.ConfigError as error:
        return str(error).splitlines()
    return []


@pytest.mark.parametrize(
    ("table", "key", "value", "text"), ROWS, ids=[f"{row[0]}.{row[1]}={row[2]}" for row in ROWS]
)
def test_spec_validation_matrix(home: Home, table: str, key: str, value: str, text: str) -> None:
    """A06: each bad value is refused with file, key path, value and what would be right."""
    found = mistakes(home, f"[{table}]\n{key} = {value}\n")

    assert len(found) >= 1, "nothing was refused"
    assert any(line.startswith("hourbook.toml: ") and text in line for line in found), found


@pytest.mark.parametrize(
    ("struct", "rows"),
    [(spec.ChildSpec, ACTOR_ROWS), (spec.NodeSpec, NODE_ROWS), (Settings, SUPERVISOR_ROWS)],
    ids=["actor", "node", "supervisor"],
)
def test_matrix_covers_every_field(struct: Any, rows: list[tuple[str, str, str]]) -> None:
    """A field that is added without a row of bad values fails here."""
    covered = {row[0].partition(".")[0] for row in rows}

    assert covered >= {field.encode_name for field in msgspec.structs.fields(struct)}


@pytest.mark.parametrize("struct", [spec.Backoff, spec.Limits])
def test_matrix_covers_every_nested_field(struct: Any) -> None:
    """The same for the tables inside an actor's."""
    path = struct.__name__.lower()
    covered = {row[0] for row in ACTOR_ROWS}

    assert covered >= {f"{path}.{field.encode_name}" for field in msgspec.structs.fields(struct)}


def test_spec_defaults(home: Home) -> None:
    """A07: `validate --json` shows OTP's defaults: permanent, 5 s, and infinity for nodes."""
    shown = msgspec.json.decode(tree_json(config.load(home)))

    assert shown["actor"]["journal_writer"]["restart"] == "permanent"
    assert shown["actor"]["journal_writer"]["shutdown_s"] == 5.0
    assert shown["node"]["book"]["shutdown_s"] == "infinity"
    assert shown["node"]["root"]["order"] == ["time", "book", "edge"]
    assert shown["actor"]["shm_publisher"]["config"]["freq_hz"] == 100.0


def test_every_mistake_is_named_at_once(home: Home) -> None:
    """Three wrong lines give three lines, whatever table they are in."""
    found = mistakes(
        home,
        "[supervisor]\nlog_files = 0\n[node.edge]\nintensity = -1\n"
        "[actor.metrics.config]\nlisten = 9464\n",
    )

    assert [line.split(": ")[1] for line in found] == [
        "supervisor.log_files",
        "node.edge.intensity",
        "actor.metrics.config.listen",
    ]


def test_mistake_of_the_command_line_says_so(home: Home) -> None:
    """What --set brought in is not blamed on the file."""
    found = mistakes(home, "", "actor.metrics.enabled=maybe")

    assert found == ['--set: actor.metrics.enabled: "maybe": must be true or false']


def test_mistake_explained_by_another_is_not_repeated(home: Home) -> None:
    """A node name that is wrong is one mistake, not also a wrong order and a missing parent."""
    found = mistakes(home, '[actor.metrics]\nnode = "Edge"\n')

    assert found == [f'hourbook.toml: actor.metrics.node: "Edge": {NAME}']


def test_misspelt_actor_is_named(home: Home) -> None:
    """A table for an actor that is not there asks which one was meant."""
    found = mistakes(home, "[actor.journal_writr]\nshutdown_s = 3\n")

    assert len(found) == 1
    assert found[0].startswith("hourbook.toml: actor.journal_writr: no such actor")
    assert found[0].endswith("did you mean journal_writer?")


@pytest.mark.parametrize("name", ["Big", "1st", "a-b", "x" * 64, "a\\n", "supervisor", "time"])
def test_bad_actor_name_is_refused(home: Home, name: str) -> None:
    """Names become socket paths and metric labels: nothing else is let in."""
    found = mistakes(home, f'[actor."{name}"]\nclass = "m:C"\n')

    assert len(found) == 1
    assert found[0].startswith("hourbook.toml: actor.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[actor.a\n", "hourbook.toml: line 1, column 9: "),
        ("x = 1\nx = 2\n", "hourbook.toml: line 2, column 6: Cannot overwrite a value"),
        ("[supervisor]\n[supervisor]\n", "hourbook.toml: line 2, column 12: Cannot declare"),
        ("actor = 3\n", "hourbook.toml: actor: 3: must be a table of tables"),
        ("[actor]\nmetrics = 3\n", "hourbook.toml: actor.metrics: 3: must be a table"),
        ("[actr.x]\n", "hourbook.toml: actr: unknown key: did you mean actor?"),
    ],
)
def test_broken_file_is_refused_with_its_place(home: Home, text: str, expected: str) -> None:
    """Errors of TOML itself, duplicates among them, name line and column."""
    found = mistakes(home, text)

    assert len(found) == 1
    assert found[0].startswith(expected), found


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"# \xff\n", "hourbook.toml: line 1: byte 0xff: must be UTF-8"),
        (b"x = 1 \x00\n", "hourbook.toml: line 1"),
        (b"#" * (1 << 20) + b"#", "hourbook.toml: must be at most 1048576 bytes"),
        (b"x = " + b"[" * 100_000, "hourbook.toml: nested too deep"),
    ],
    ids=["not UTF-8", "NUL", "too large", "too deep"],
)
def test_hostile_file_is_refused(home: Home, data: bytes, expected: str) -> None:
    """No file brings a traceback."""
    home.config_file.write_bytes(data)

    with pytest.raises(errors.ConfigError, match=expected):
        config.load(home)


def test_named_file_must_exist(home: Home, tmp_path: Path) -> None:
    """A missing --config is a mistake, a missing hourbook.toml is not."""
    with pytest.raises(errors.ConfigError, match="expected a file, got none, at"):
        config.load(home, tmp_path / "missing.toml")

    assert config.load(home).path is None


def test_directory_as_config_is_refused(home: Home, tmp_path: Path) -> None:
    """What cannot be read is named with the system's reason."""
    with pytest.raises(errors.ConfigError, match="Is a directory"):
        config.load(home, tmp_path)


def test_file_is_merged_key_by_key(home: Home) -> None:
    """A file that sets one key leaves every other default in place; lists are replaced."""
    home.config_file.write_text(
        "[actor.metrics]\nwatchdog_s = 3\n[actor.probe]\nclass = 'm:C'\nnode = 'edge'\n"
        "[node.edge]\norder = ['probe', 'metrics']\n",
        encoding="utf-8",
    )

    loaded = config.load(home)

    assert loaded.tree.actors["metrics"].watchdog_s == 3
    assert loaded.tree.actors["metrics"].class_path == "actors.metrics:Metrics"
    assert loaded.tree.children_of("edge") == ("probe", "metrics", "mcp_server")
    assert loaded.path == home.config_file


def test_overrides_stand_above_the_file_and_survive_a_reload(home: Home) -> None:
    """--set wins, and goes on to win when the file is read again."""
    home.config_file.write_text("[supervisor]\nlog_files = 7\n", encoding="utf-8")
    loaded = config.load(home, None, ["supervisor.log_files=9"])
    home.config_file.write_text("[supervisor]\nlog_files = 8\nlog_file_mib = 2", encoding="utf-8")

    again = config.load_again(home, loaded)

    assert (loaded.settings.log_files, again.settings.log_files) == (9, 9)
    assert again.settings.log_file_mib == 2


def test_dynamic_spec_is_checked_like_the_others() -> None:
    """The table of `add` gives the same lines."""
    with pytest.raises(errors.ConfigError) as caught:
        config.parse_spec({"name": "probe", "shutdown_s": -3})

    assert str(caught.value).splitlines() == [
        'spec: actor.shutdown_s: -3: must be > 0, "infinity" or "kill"',
        "spec: actor.class: missing: must be module:Class",
    ]


def test_validation_imports_no_actor(home: Home) -> None:
    """Reading a configuration costs what its light structs cost."""
    import subprocess  # noqa: PLC0415 - a fresh interpreter shows what is imported
    import sys  # noqa: PLC0415 - the same

    code = (
        "import sys; from supervisor.config import load; from hourbook.home import find_home;"
        f"load(find_home({str(home.path)!r}));"
        "print(*(m for m in sys.modules if m.startswith('actors.') and m != 'actors.config'))"
    )

    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert shown.strip() == ""


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A struct whose fields hold together."""

    low: int = 0
    high: int = 1
    names: dict[str, list[int]] = {}
    choice: int | str | None = None

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low {self.low}: must be <= high {self.high}")


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"low": 2}, [("w", "low 2: must be <= high 1")]),
        ({"names": {"a": [1, "b"]}}, [("w.names.a[1]", '"b": must be a whole number')]),
        ({"choice": []}, [("w.choice", "[]: must be a whole number or a string")]),
        ({"low": "x" * 200}, [("w.low", f'"{"x" * 76}...: must be a whole number')]),
        ({"low": "\x1b[2J"}, [("w.low", '"\\u001b[2J": must be a whole number')]),
        ([], [("w", "[]: must be a table")]),
        ({}, []),
    ],
)
def test_problems_of_any_struct(table: object, expected: list[tuple[str, str]]) -> None:
    """Whole-struct checks, nested containers, unions and hostile values are worded too."""
    found = [(problem.path, problem.text) for problem in find_problems(Window, table, "w")]

    assert [path for path, _ in found] == [path for path, _ in expected]
    for (_, text), (_, wanted) in zip(found, expected, strict=True):
        assert text == wanted


def test_find_home_is_not_needed_for_a_named_file(tmp_path: Path) -> None:
    """A file can be validated on a machine that has no Hourbook yet."""
    file = tmp_path / "other.toml"
    file.write_text("[node.edge]\nintensity = -1\n", encoding="utf-8")

    with pytest.raises(errors.ConfigError, match=r"^other.toml: node.edge.intensity: -1: must be"):
        config.load(find_home(tmp_path / "nowhere"), file)


def test_node_without_a_child_is_refused(home: Home) -> None:
    """A misspelt table would else be a node of its own, and what it sets would count for nobody."""
    found = mistakes(home, "[node.bok]\nintensity = 3\n")

    assert found == [
        "hourbook.toml: node.bok: has no actor or node; misspelt? (have: book, edge, root, time)"
    ]


@pytest.mark.parametrize(
    "text",
    [
        '[node.mine]\n[actor.probe]\nclass = "m:C"\nnode = "mine"\n',
        '[node.mine]\n[node.edge]\nnode = "mine"\n[node.root]\norder = ["time", "book", "mine"]\n',
        '[actor]\nmetrics.node = "time"\nmcp_server.node = "time"\n[node.edge]\norder = []\n',
    ],
    ids=["an actor", "a node", "a default node that lost its own"],
)
def test_node_that_somebody_meant_is_accepted(home: Home, text: str) -> None:
    """New nodes with a child are sound, and so is a default node whose actors moved away."""
    assert mistakes(home, text) == []


@pytest.mark.parametrize(
    "text", [None, "x = 1\n", "x = \n", "\0"], ids=["none", "key", "TOML", "NUL"]
)
def test_config_path_with_a_line_break_stays_on_its_line(
    home: Home, tmp_path: Path, text: str | None
) -> None:
    """One mistake is one line, whatever the file is called."""
    file = tmp_path / "a\nb\x1b[2J.toml"
    if text is not None:
        file.write_text(text, encoding="utf-8")

    with pytest.raises(errors.ConfigError) as caught:
        config.load(home, file)

    assert str(caught.value).isprintable()
    assert str(caught.value).startswith("a\\nb\\x1b[2J.toml: ")
