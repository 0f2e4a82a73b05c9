"""The README is true: its commands and its example run as they stand."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from full_tree import ROOT_DIR, FullTree

import hourbook

pytestmark = pytest.mark.live

README = (ROOT_DIR / "README.md").read_text()
STORE = (ROOT_DIR / "docs" / "STORE.md").read_text()
DOCUMENTS = sorted([*ROOT_DIR.glob("*.md"), *(ROOT_DIR / "docs").rglob("*.md")])


def blocks(language: str, text: str = README) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullTree]:
    """Run the tree that `make start` would run, offline and on free ports."""
    with FullTree(tmp_path_factory.mktemp("home")) as running:
        yield running


def test_readme_example_runs(tree: FullTree) -> None:
    """The Python example is a program, and its assertion holds."""
    (example,) = blocks("python")
    result = subprocess.run(
        [sys.executable, "-c", example],
        env={**os.environ, "HOURBOOK_HOME": str(tree.home.path)},
        cwd=ROOT_DIR,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.stderr == ""
    assert "UTC lies in" in result.stdout


def test_example_of_the_store_does_what_it_says(
    tree: FullTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/STORE.md begins with a program; where it says what a line returns, that is so."""
    example, _ = blocks("python", STORE)
    example, said = re.subn(
        r"^( *)(\S.*)  # (\{.*\})$", r"\1assert \2 == \3", example, flags=re.MULTILINE
    )
    monkeypatch.setenv("HOURBOOK_HOME", str(tree.home.path))

    exec(example, {})  # noqa: S102 - it is ours

    assert said == 1
    with hourbook.connect("reader", shared=True) as book:
        store = book.store("agent_context")
        assert store.get_many(["task", "a", "b"]) == {
            "task": {"goal": "ship", "step": 2},
            "a": -1,
            "b": 1,
        }


def test_example_in_asyncio_prints_what_it_says(
    tree: FullTree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second program of docs/STORE.md; its errors are where it looks for them."""
    _, example = blocks("python", STORE)
    monkeypatch.setenv("HOURBOOK_HOME", str(tree.home.path))

    exec(example, {})  # noqa: S102 - it is ours

    said = re.findall(r"print\(.*\)  # (.*)$", example, re.MULTILINE)
    printed = capsys.readouterr().out.splitlines()
    assert [
        shown.startswith(line.removesuffix("..."))
        for line, shown in zip(said, printed, strict=True)
    ] == [True, True]


def test_readme_leads_to_a_killed_and_recovered_actor(tree: FullTree, tmp_path: Path) -> None:
    """The second block runs as one script: an actor dies, nothing acknowledged is lost."""
    _, five_minutes = blocks("sh")
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("hourbook", "supervisor"):
        script = commands / name
        entry = f"import sys; from {name}.command import main; sys.exit(main())"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{entry}" "$@"\n')
        script.chmod(0o755)
    five_minutes = five_minutes.replace('"$PWD/.venv/bin:$PATH"', f'"{commands}:$PATH"')

    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", five_minutes],
        env={
            **os.environ,
            "HOURBOOK_HOME": str(tree.home.path),
            "PYTHONPATH": str(ROOT_DIR),
        },
        cwd=ROOT_DIR,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.stderr == "", result.stdout
    assert result.returncode == 0
    tails = result.stdout[result.stdout.index("survived") :]
    assert "deployed    api.example  FastAPI on 8080" in tails
    assert re.search(r"journal_writer +READY +\d+ +2 .*SIGKILL", tails)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_the_documents_lead_somewhere(document: Path) -> None:
    """A link to a file names one that exists, and its section too."""
    broken = []
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", document.read_text()):
        path, _, section = target.partition("#")
        file = document.parent / path if path else document
        if not file.exists():
            broken.append(target)
        elif section:
            titles = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}
            broken += [] if section in anchors else [target]

    assert broken == []


def test_links_are_found_where_there_are_some() -> None:
    """The check above looks at something."""
    assert len(DOCUMENTS) >= 5
