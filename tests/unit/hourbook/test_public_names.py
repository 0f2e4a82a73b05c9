"""`import hourbook`: what an agent finds there."""

import inspect
import pydoc
import re
from pathlib import Path

import pytest

import hourbook
from hourbook.faces.store import Store
from hourbook.faces.store_async import AsyncStore
from protocols import errors

STORE_DOC = Path(__file__).parents[3] / "docs" / "STORE.md"


def test_every_public_name_is_found_before_it_was_used() -> None:
    """By the Tab key and by `help`, though nothing loads until then."""
    assert set(hourbook.__all__) <= set(dir(hourbook))
    assert [name for name in hourbook.__all__ if getattr(hourbook, name, None) is None] == []


def test_help_shows_the_classes_and_how_to_connect() -> None:
    """Not just the first words of a list of names."""
    text = " ".join(pydoc.plain(pydoc.render_doc(hourbook)).split())
    text = text.replace("( ", "(")  # Python 3.13 breaks long signatures

    for words in ("connect(name: str", "class Book", "class Store", "class Clock", "set_nowait("):
        assert words in text, words


def test_errors_are_there_to_be_caught() -> None:
    """`except hourbook.errors.VersionConflict`, as docs/STORE.md says."""
    assert hourbook.errors is errors
    assert issubclass(hourbook.errors.VersionConflict, hourbook.HourbookError)


def test_store_in_asyncio_has_all_but_what_the_document_says() -> None:
    """What is asked of the store itself stands behind the example."""
    lacking = {name for name in dir(Store) if name[0] != "_"} - set(dir(AsyncStore))

    section = STORE_DOC.read_text().partition("## In asyncio")[2].partition("\n## ")[0]
    assert lacking - {"asynchronous"} == set(re.findall(r"`(\w+)`", section))


def test_get_of_a_store_has_a_signature() -> None:
    """It is C, bound without a layer between, and is asked for help as any other."""
    from shm import _core  # noqa: PLC0415 - here alone

    parameters = inspect.signature(_core.StoreCache.get).parameters

    assert list(parameters) == ["self", "key", "default", "version", "at"]
    assert "Return what the store holds" in pydoc.plain(pydoc.render_doc(_core.StoreCache.get))


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf"), 86_401, "3", None, True])
def test_connect_refuses_a_timeout_that_no_answer_could_meet(
    timeout_s: float, tmp_path: Path
) -> None:
    """At the call, and not as an actor that does not answer."""
    with pytest.raises(errors.BadRequest, match="Expected `timeout_s` above 0, up to 86400, got"):
        hourbook.connect("me", tmp_path, timeout_s=timeout_s)
