"""Holders that can be seen, and holders that can only be heard."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from fakes.reactor import TestReactor

from actors.instance_watch import InstanceWatch
from hourbook.process_identity import is_alive, is_elsewhere, own_holder
from protocols.instance_messages import SILENT_NS_MAX, Beat, Holder, Instance

NOW_NS = 1_800_000_000_000_000_000
HEARD_NS = 5_000_000_000


def elsewhere() -> Holder:
    """Return a process of another namespace whose pid is, here, that of another process."""
    return msgspec.structs.replace(own_holder(), pid_ns=own_holder().pid_ns + 1)


@pytest.fixture
def watch() -> Iterator[InstanceWatch]:
    """Return a watch that nobody's death is told to."""
    made = InstanceWatch(TestReactor(), lambda _: None)
    yield made
    made.close()


def beat(watch: InstanceWatch, holder: Holder, now_mono_ns: int) -> bool:
    """Beat for the name `far`; return whether it is held."""
    return watch.beat(Beat("far", holder), NOW_NS, now_mono_ns, 0, -1).is_held


def test_holder_elsewhere_is_dead_once_it_was_silent(watch: InstanceWatch) -> None:
    """It is never looked up by its pid; a beat begins its time anew."""
    holder = elsewhere()
    watch.hold("far", holder, HEARD_NS)
    heard_ns = HEARD_NS + SILENT_NS_MAX
    assert not watch.is_dead("far", heard_ns)

    assert beat(watch, holder, heard_ns)

    assert watch.dead_names(heard_ns + SILENT_NS_MAX) == []
    assert watch.dead_names(heard_ns + SILENT_NS_MAX + 1) == ["far"]


def test_beat_of_its_namesake_here_does_not_keep_it_alive(watch: InstanceWatch) -> None:
    """The same pid and start time in two namespaces are two processes."""
    watch.hold("far", elsewhere(), HEARD_NS)

    assert not beat(watch, own_holder(), HEARD_NS + 1)
    assert watch.is_dead("far", HEARD_NS + SILENT_NS_MAX + 1)


def test_holder_here_may_be_silent_for_ever(watch: InstanceWatch) -> None:
    """It can be seen, also by a holder of an older client, which names no namespace."""
    watch.hold("near", own_holder(), HEARD_NS)
    watch.hold("old", msgspec.structs.replace(own_holder(), pid_ns=0), HEARD_NS)

    assert watch.dead_names(HEARD_NS + 100 * SILENT_NS_MAX) == []


def test_taken_over_from_a_book_who_is_elsewhere_gets_its_time(watch: InstanceWatch) -> None:
    """After a restart of the writer; those that are not here, or of another boot, are dead."""
    gone = msgspec.structs.replace(own_holder(), start_ticks=1)
    rebooted = msgspec.structs.replace(elsewhere(), boot_id=bytes(16))
    held = {"far": elsewhere(), "gone": gone, "rebooted": rebooted}
    instances = [
        Instance(name, is_held=True, holder=holder, registered_ns=0, seen_ns=0, position=-1)
        for name, holder in held.items()
    ]

    dead = watch.begin(instances, HEARD_NS)

    assert [each.name for each in dead] == ["gone", "rebooted"]
    assert watch.dead_names(HEARD_NS + SILENT_NS_MAX) == []


def test_own_holder_is_this_process_in_its_namespace() -> None:
    """As the kernel names them."""
    holder = own_holder()

    assert (holder.pid, is_alive(holder), is_elsewhere(holder)) == (os.getpid(), True, False)
    assert f"pid:[{holder.pid_ns}]" == str(Path("/proc/self/ns/pid").readlink())


def test_holder_of_an_older_client_is_understood() -> None:
    """Three values: its namespace is unknown."""
    old = msgspec.msgpack.encode([bytes(16), 7, 9])

    assert msgspec.msgpack.decode(old, type=Holder) == Holder(bytes(16), 7, 9, 0)
