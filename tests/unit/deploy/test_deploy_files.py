"""The files in deploy/ load, hold, and name nothing that does not exist."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes.supervisor_socket import actor_row, tree_status

from actors.metrics_exposition import families_of
from actors.metrics_help import HELP
from hourbook.home import Home
from supervisor import config, spec
from supervisor.spec import Settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
TOML = DEPLOY / "hourbook.toml"


def test_example_config_equals_the_defaults(home: Home) -> None:
    """Copying the example changes nothing."""
    example = config.load(home, TOML)
    defaults = config.load(home)

    assert msgspec.to_builtins(example.settings) == msgspec.to_builtins(defaults.settings)
    assert msgspec.to_builtins(example.tree) == msgspec.to_builtins(defaults.tree)


def test_example_config_names_every_key(home: Home) -> None:
    """No key of any struct is missing: what can be set can be found there."""
    document = tomllib.loads(TOML.read_text(encoding="utf-8"))
    fields: dict[str, type[msgspec.Struct]] = {
        "supervisor": Settings,
        "node.edge": spec.NodeSpec,
        "actor.ntp_sampler": spec.ChildSpec,
        "actor.ntp_sampler.backoff": spec.Backoff,
        "actor.ntp_sampler.limits": spec.Limits,
    }
    tree = config.load(home).tree

    missing = [
        f"{path}.{field.encode_name}"
        for path, struct in fields.items()
        for field in msgspec.structs.fields(struct)
        if field.encode_name != "name" and field.encode_name not in _table(document, path)
    ]
    missing += [
        f"actor.{name}.config.{key}"
        for name, actor in tree.actors.items()
        for key in actor.config
        if key not in document["actor"][name].get("config", {})
    ]

    assert missing == []


def test_example_config_explains_every_key_once() -> None:
    """Above each key stands a comment, in its first table at the latest."""
    lines = TOML.read_text(encoding="utf-8").splitlines()
    explained: set[str] = set()
    bare: list[str] = []
    table = ""
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("["):
            table = line.strip("[]") if ".config" in line else line.strip("[]").split(".")[0]
        elif "=" in line and not line.startswith("#"):
            key = f"{table}.{line.split(' = ')[0]}"
            if before.startswith("#"):
                explained.add(key)
            else:
                bare.append(key)

    assert [key for key in bare if key not in explained] == []


def test_example_config_gives_numbers_a_unit_and_a_range() -> None:
    """The comment above a number carries both, as in ``(seconds, > 0)``."""
    text = TOML.read_text(encoding="utf-8")

    numbers = re.findall(r"((?:^#.*\n)+)^(\w+) = -?[\d.]+$", text, re.MULTILINE)

    assert len(numbers) > 20
    assert [key for comment, key in numbers if not re.search(r"\([^)]+\)", comment)] == []


def test_systemd_unit_holds(tmp_path: Path) -> None:
    """The service manager itself finds no fault with the unit, where it is installed."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here")
    unit = tmp_path / "hourbook.service"
    text = (DEPLOY / "hourbook.service").read_text(encoding="utf-8")
    unit.write_text(text.replace("/opt/hourbook/bin/supervisor", "/bin/true"), encoding="utf-8")

    done = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"SYSTEMD_LOG_LEVEL": "warning"},
    )

    assert [line for line in done.stderr.splitlines() if "hourbook.service" in line] == []
    assert done.returncode == 0, done.stderr


def test_systemd_unit_says_what_the_supervisor_speaks() -> None:
    """Type, watchdog and the exit codes that must not restart agree with the supervisor."""
    unit = (DEPLOY / "hourbook.service").read_text(encoding="utf-8").splitlines()
    settings = dict(line.split("=", 1) for line in unit if "=" in line and not line.startswith("#"))

    assert settings["Type"] == "notify"
    assert int(settings["WatchdogSec"]) >= 10
    assert settings["RestartPreventExitStatus"] == "2 4"
    assert settings["KillMode"] == "mixed"
    assert "RuntimeDirectory" not in settings


def test_containerfile_runs_the_supervisor_as_pid_1() -> None:
    """The last stage is slim, not root, and starts the supervisor without a shell."""
    lines = (DEPLOY / "Containerfile").read_text(encoding="utf-8").splitlines()
    words = [line.split(None, 1) for line in lines if line and line[0].isupper()]
    final = words[[n for n, word in enumerate(words) if word[0] == "FROM"][-1] :]
    instructions: dict[str, str] = {word[0]: word[1] for word in final}

    assert [w[1] for w in words if w[0] == "FROM"] == [
        "debian:stable-slim AS build",
        "debian:stable-slim",
    ]
    assert instructions["USER"] == "hourbook"
    assert json.loads(instructions["ENTRYPOINT"]) == ["supervisor", "start"]
    assert json.loads(instructions["CMD"])[0] == "--set"


def test_containerfile_copies_every_package() -> None:
    """A package that setuptools would install is in the build stage."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]

    assert [p for p in packages if f"COPY {p.rstrip('*')} {p.rstrip('*')}\n" not in text] == []


def test_container_overrides_hold(home: Home) -> None:
    """What the container sets on the command line is a valid configuration."""
    lines = (DEPLOY / "Containerfile").read_text(encoding="utf-8").splitlines()
    command = json.loads(next(line for line in lines if line.startswith("CMD ["))[4:])

    loaded = config.load(home, None, command[1::2])

    assert loaded.tree.actors["metrics"].config["listen"] == "0.0.0.0:9464"


def test_prometheus_scrapes_the_default_address(home: Home) -> None:
    """The scrape config names the port that metrics listens on."""
    text = (DEPLOY / "prometheus.yml").read_text(encoding="utf-8")
    listen = config.load(home).tree.actors["metrics"].config["listen"]

    assert f'targets: ["{listen}"]' in text
    assert "\t" not in text
    assert re.findall(r"^(\w+):", text, re.MULTILINE) == ["global", "scrape_configs"]


def test_dashboard_shows_metrics_that_exist() -> None:
    """Every name in every panel is one that the metrics actor can export."""
    text = (DEPLOY / "grafana-dashboard.json").read_text(encoding="utf-8")
    known = {
        sample.name
        for family in families_of(tree_status(actor_row("x")))
        for sample in family.samples
    }
    reported = {f"hourbook_{name}" for name in HELP}

    names = set(re.findall(r"hourbook_\w+", text))

    assert len(names) > 30
    assert sorted({n.removesuffix("_bucket") for n in names - known} - reported) == []


def test_dashboard_is_laid_out() -> None:
    """Panels have distinct ids, a query each, and do not lie upon one another."""
    board: dict[str, Any] = json.loads(
        (DEPLOY / "grafana-dashboard.json").read_text(encoding="utf-8")
    )
    cells = [
        (x, y)
        for panel in board["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all(target["expr"] for panel in board["panels"] for target in panel["targets"])
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def _table(document: dict[str, Any], path: str) -> dict[str, Any]:
    for part in path.split("."):
        document = document[part]
    return document
