"""The store against a dictionary once more: two connections, and a writer that is killed meanwhile.

Every request is sent until it is answered, so each must be done once, whenever the writer died.
"""

import random
import threading
import time
from typing import Any, Final

import pytest
from book_actors import QuickWriter
from store_model import Kept, Model, Step, same

from hourbook.faces.book import connect
from hourbook.faces.store import Store
from hourbook.home import Home
from protocols import errors

pytestmark = pytest.mark.live

STEPS: Final = 1_500
GONE: Final = "gone"
NAMESPACES: Final = ("notes", "config", "temp", "cache")
KEYS: Final = ("a", "b", "c/d")
TYPES: Final = ("", "", "", "persistent", "versioned", "transient", "cached")
VALUES: Final = (0, 1, None, True, "", b"\xff", [1, {"a": 2}], "x" * 3000, 1.5)


def draw(rng: random.Random, model: Model, ns: str) -> Step:
    """Return any step, now and then with a version that is right, or is not."""
    op, key = rng.choice(("set", "set", "increment", "delete", "check")), rng.choice(KEYS)
    row = model.get(ns, key, time.time_ns())
    version = rng.choice((None, None, None if row is None else row.version, 0, 1))
    if op in ("delete", "check"):
        return Step(op, key, if_version=version)
    value = rng.choice(VALUES) if op == "set" else rng.choice((1, -2, 0.5))
    return Step(op, key, value, rng.choice(TYPES), if_version=version)


def write(store: Store, steps: list[Step]) -> list[int] | type[Exception]:
    """Do steps together; return their versions, or which error it was."""
    try:
        return _write(store, steps)
    except errors.HourbookError as error:
        return type(error)


def _write(store: Store, steps: list[Step]) -> list[int]:
    with store.transaction() as both:
        for each in steps:
            kind: Any = each.type
            if each.op == "set":
                both.set(each.key, each.value, type=kind, if_version=each.if_version)
            elif each.op == "increment":
                both.increment(each.key, each.value, type=kind, if_version=each.if_version)
            elif each.op == "delete":
                both.delete(each.key, if_version=each.if_version)
            else:
                both.require(each.key, each.if_version)
    assert both.result is not None
    return both.result.versions


def seen(store: Store) -> dict[str, tuple[Any, int, str]]:
    """Return all that a namespace holds, with versions and types."""
    items = {key: store.get_item(key) for key in store.keys()}  # noqa: SIM118 - no dict
    return {key: (i.value, i.version, i.type) for key, i in items.items() if i is not None}


def kill_on(writer: QuickWriter, rng: random.Random, stop: threading.Event) -> None:
    """Kill the writer again and again."""
    while not stop.wait(rng.uniform(0.02, 0.2)):
        writer.kill()
        writer.start()


def test_store_is_a_dictionary_however_often_its_writer_dies(
    home: Home, rng: random.Random
) -> None:
    """Sets, increments, deletions and checks of all types, one by one and together."""
    model, writer, stop = Model(is_alone=False), QuickWriter(home), threading.Event()
    killer = threading.Thread(target=kill_on, args=(writer, random.Random(rng.random()), stop))
    with (
        connect("one", home, timeout_s=30) as one,
        connect("other", home, timeout_s=30) as other,
    ):
        one.log("began", "test")
        killer.start()
        try:
            for _ in range(STEPS):
                ns = rng.choice(NAMESPACES)
                steps = [draw(rng, model, ns) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
                expected = model.write(ns, steps, time.time_ns())
                said = write(rng.choice((one, other)).store(ns), steps)
                if isinstance(expected, tuple):
                    assert isinstance(said, list), (said, steps)
                    model.learn(dict(zip(expected[0], said, strict=True)))
                else:
                    assert said is expected, steps
                rows: dict[str, Kept] = model.scan(ns, time.time_ns())
                for book in (one, other):
                    held = {key: (r.value, r.version, r.type) for key, r in rows.items()}
                    assert same(seen(book.store(ns)), held)
                    for key in KEYS:
                        row = rows.get(key)
                        got = book.store(ns).get(key, GONE)
                        assert same(got, GONE if row is None else row.value)
        finally:
            stop.set()
            killer.join()
    writer.stop()
    assert writer.incarnation > 3
