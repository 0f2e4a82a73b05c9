"""Rules about the source itself: a rule that no machine checks is a wish."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("protocols", "shm", "hourbook", "actors", "supervisor")
"""Each may import itself and what stands before it."""
ABOVE_FACES: Final = frozenset({"hourbook.cli"})
ABOVE_ROOMS: Final = {
    **dict.fromkeys(("clock", "link", "forecast", "book"), ABOVE_FACES | {"hourbook.faces"}),
    **dict.fromkeys(("cli", "command.py"), frozenset()),
}
"""Of hourbook; its other rooms are as far up as the faces."""
SOURCES = sorted(p for layer in LAYERS for p in (ROOT / layer).rglob("*.py"))
LINES_MAX = 400
FUNCTION_LINES_MAX = 70


def relative(path: Path) -> str:
    """Return a path as people say it."""
    return str(path.relative_to(ROOT))


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and module of every import in a file, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_imports_point_one_way(path: Path) -> None:
    """Protocols <- shm <- hourbook <- actors <- supervisor, and nothing imports the tests.

    Within hourbook: clock, link, forecast, book <- faces <- cli.
    """
    layer, room, *_ = path.relative_to(ROOT).parts
    forbidden = {*LAYERS[LAYERS.index(layer) + 1 :], "tests", "bench"}
    if layer == "hourbook":
        forbidden |= ABOVE_ROOMS.get(room, ABOVE_FACES)

    wrong = [
        f"{relative(path)}:{line} {module}"
        for line, module in imports_of(path)
        if forbidden & {module.split(".")[0], ".".join(module.split(".")[:2])}
    ]

    assert wrong == []


def test_supervisor_knows_no_actor_by_name() -> None:
    """The supervisor runs what its specs say; it imports only the actors' shared base."""
    shared = {f"actors.{part}" for part in ("base", "config", "contract", "sockets", "timers")}

    wrong = [
        f"{relative(path)}:{line} {module}"
        for path in (ROOT / "supervisor").rglob("*.py")
        for line, module in imports_of(path)
        if module.startswith("actors") and module not in shared
    ]

    assert wrong == []


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_files_and_functions_stay_small(path: Path) -> None:
    """Past these sizes a second thing is inside."""
    text = path.read_text()

    long = [
        f"{relative(path)}:{node.lineno} {node.name}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
    ]

    assert long == []
    assert len(text.splitlines()) <= LINES_MAX


@pytest.mark.parametrize("path", sorted((ROOT / "shm").glob("*.[ch]")), ids=relative)
def test_c_files_stay_small(path: Path) -> None:
    """The same holds for C."""
    assert len(path.read_text().splitlines()) <= LINES_MAX


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_modules_say_what_they_are_for(path: Path) -> None:
    """Each module opens with a docstring, and lists what is public."""
    tree = ast.parse(path.read_text())
    names = {t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets
             if isinstance(t, ast.Name)}  # fmt: skip

    assert ast.get_docstring(tree)
    assert path.name in ("__init__.py", "__main__.py") or "__all__" in names


def test_blind_except_stands_in_one_place() -> None:
    """Only the outermost edges catch what nobody expected: the actors' guard, and the command."""
    found = {
        relative(path)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
        and ast.unparse(node.body[-1]) != "raise"
    }

    assert found == {"actors/guard.py", "hourbook/cli/run.py"}


def test_nothing_prints_outside_the_commands() -> None:
    """Libraries and actors log; only the two commands write to the terminal."""
    found = {
        relative(path)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    }

    commands = ("hourbook/cli/", "supervisor/cli.py", "supervisor/stopping.py")
    assert [name for name in found if not name.startswith(commands)] == []


def test_nothing_unpickles_or_evaluates() -> None:
    """Data is never code."""
    forbidden = re.compile(r"^(eval|exec|pickle\.loads?|dill\.loads?|marshal\.loads?)$")
    found = [
        f"{relative(path)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and forbidden.match(ast.unparse(node.func))
    ]

    assert found == []


def test_entry_scripts_import_nothing_at_module_level() -> None:
    """Spawn imports them again in every child: what they import, every actor pays for."""
    for path in (ROOT / "hourbook" / "command.py", ROOT / "supervisor" / "command.py"):
        top = [n for n in ast.parse(path.read_text()).body
               if isinstance(n, ast.Import | ast.ImportFrom)]  # fmt: skip

        assert [ast.unparse(n) for n in top] in ([], ["import sys"])


def test_reading_the_time_imports_nothing_heavy() -> None:
    """An agent that only wants the time pays for no socket, array or event loop library."""
    heavy = "{'zmq', 'numpy', 'asyncio', 'sqlite3', 'nacl', 'rich', 'mcp', 'multiprocess'}"
    code = f"import sys; from hourbook import Clock; print(sorted({heavy} & set(sys.modules)))"

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == "[]"


def test_packages_are_listed_and_typed() -> None:
    """Every layer is packaged and says that it is typed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = {p.rstrip("*") for p in project["tool"]["setuptools"]["packages"]["find"]["include"]}

    assert listed == set(LAYERS)
    assert all((ROOT / layer / "py.typed").exists() for layer in LAYERS)


def test_every_test_says_what_it_shows() -> None:
    """Each test has a docstring of its own."""
    silent = [
        f"{relative(path)}:{node.lineno} {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert silent == []
