"""The compactor gives the head of a living book away, by its calendar."""

from pathlib import Path

import pytest
from book_actors import running_compactor, running_writer
from waiting import wait_until

from hourbook.book.proof.witness import load_witnesses
from hourbook.faces.book import connect
from hourbook.home import Home

pytestmark = pytest.mark.live


def test_compactor_keeps_the_newest_head_in_a_file(home: Home, tmp_path: Path) -> None:
    """What was acknowledged is soon witnessed elsewhere."""
    file = tmp_path / "head.json"
    with (
        running_writer(home),
        connect("agent", home) as book,
        running_compactor(home, witness="every 1 s", witness_file=str(file)),
    ):
        for number in range(3):
            last = book.log("wrote", str(number))
        wait_until(
            lambda: file.exists() and load_witnesses(file)[0].commit.last_seq >= last.seq,
            20,
            "the newest head",
        )
        assert book.verify(against=file).witnesses == 1
