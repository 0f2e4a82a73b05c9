"""deploy/preflight.sh says in one line what a machine lacks: run with a PATH of stubs."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "deploy" / "preflight.sh"
COMPLETE = {"git": "exit 0", "cc": "exit 0", "python3": "exit 0"}


def run(directory: Path, stubs: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Run the script where only `stubs` are commands; return its exit code and stderr."""
    for name, body in stubs.items():
        stub = directory / name
        stub.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        stub.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.fspath(directory)},
    )
    return done.returncode, done.stderr.strip()


def test_complete_machine_passes_silently(tmp_path: Path) -> None:
    """Nothing is said when nothing is missing."""
    assert run(tmp_path, COMPLETE) == (0, "")


@pytest.mark.parametrize(
    ("lacks", "packages"),
    [
        (["git"], "git"),
        (["cc"], "gcc libc6-dev"),
        (["python3"], "python3 python3-venv python3-dev"),
        (["git", "cc", "python3"], "git gcc libc6-dev python3 python3-venv python3-dev"),
    ],
)
def test_missing_command_is_named_by_its_packages(
    tmp_path: Path, lacks: list[str], packages: str
) -> None:
    """One `apt install` line that mends everything at once, and exit 1."""
    stubs = {name: body for name, body in COMPLETE.items() if name not in lacks}

    code, said = run(tmp_path, stubs)

    assert code == 1
    assert said.endswith(f"sudo apt install {packages}")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("module", "package"), [("ensurepip", "python3-venv"), ("Python.h", "python3-dev")]
)
def test_python_without_a_part_names_the_part(tmp_path: Path, module: str, package: str) -> None:
    """Debian splits Python: the package that holds the missing part is named."""
    stubs = COMPLETE | {"python3": f'case "$*" in *{module}*) exit 1;; esac; exit 0'}

    code, said = run(tmp_path, stubs)

    assert code == 1
    assert said.endswith(f"sudo apt install {package}")


def test_old_python_is_refused_with_its_version(tmp_path: Path) -> None:
    """A Python that is too old is named with what it is."""
    old = 'case "$*" in *version_info*) exit 1;; -V) echo Python 3.9.2;; esac'

    code, said = run(tmp_path, COMPLETE | {"python3": old})

    assert code == 1
    assert said.startswith("Expected python >= 3.11, got Python 3.9.2")


def test_another_python_can_be_named(tmp_path: Path) -> None:
    """The first argument names the interpreter."""
    stubs = {"git": "exit 0", "cc": "exit 0", "python3.13": "exit 0"}

    assert run(tmp_path, stubs, "python3.13") == (0, "")
    assert run(tmp_path, stubs)[0] == 1
