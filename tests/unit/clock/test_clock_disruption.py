"""What counts as a disruption, from two looks; and how the machine is looked at."""

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.timebase import FakeTimebase

from hourbook.clock import disruption
from hourbook.clock.disruption import Surroundings, disruption_between, disruption_since
from hourbook.clock.surroundings import Lookout, VmClock
from hourbook.timebase import SystemTimebase

MS = 1_000_000
S = 1_000_000_000
CALM = Surroundings(
    raw_ns=10 * S,
    suspended_ns=5 * S,
    realtime_minus_raw_ns=100 * S,
    vmclock_marker=7,
    clocksource="tsc",
    boot_id="a",
)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({}, None),
        ({"boot_id": "b"}, "boot"),
        ({"boot_id": ""}, None),
        ({"suspended_ns": 6 * S, "realtime_minus_raw_ns": 101 * S}, "suspend"),
        ({"suspended_ns": 5 * S + 19 * MS}, None),
        ({"suspended_ns": 4 * S}, "suspend"),
        ({"vmclock_marker": 8}, "migration"),
        ({"vmclock_marker": 0}, "migration"),
        ({"vmclock_marker": None}, None),
        ({"clocksource": "hpet"}, "clocksource"),
        ({"clocksource": ""}, None),
        ({"realtime_minus_raw_ns": 100 * S + 6 * MS}, "external_step"),
        ({"realtime_minus_raw_ns": 100 * S - 6 * MS}, "external_step"),
        ({"realtime_minus_raw_ns": 100 * S + 4 * MS}, None),
        ({"raw_ns": 11 * S, "realtime_minus_raw_ns": 100 * S + 84 * MS}, None),
        ({"raw_ns": 11 * S, "realtime_minus_raw_ns": 100 * S + 106 * MS}, "external_step"),
        ({"boot_id": "b", "suspended_ns": 0, "clocksource": "hpet"}, "boot"),
    ],
)
def test_each_cause_is_told_from_two_looks(changes: dict[str, Any], cause: str | None) -> None:
    """The gravest is named; what cannot be read is no change; slewing is no step."""
    assert disruption_between(CALM, replace(CALM, **changes)) == cause


@pytest.mark.parametrize(
    ("suspended_ns", "marker", "cause"),
    [(5 * S, 7, None), (5 * S, 0, None), (4 * S, 7, "suspend"), (5 * S, 6, "migration")],
)
def test_a_page_tells_what_its_writer_missed(
    suspended_ns: int, marker: int, cause: str | None
) -> None:
    """A marker of 0 in the page is none: it tells nothing."""
    assert disruption_since(suspended_ns, marker, CALM) == cause


def test_only_a_step_of_the_kernels_clock_leaves_raw_alone() -> None:
    """It spoils what rests on that clock; every other cause spoils all."""
    spoiled = {
        cause: (disruption.spoils_history(cause, "ntp"), disruption.spoils_history(cause, "kernel"))
        for cause in disruption.CAUSES
    }

    assert spoiled.pop("external_step") == (False, True)
    assert set(spoiled.values()) == {(True, True)}
    assert set(disruption.MEANING) == set(disruption.CAUSES)


def vmclock(marker: int, count: int = 2, *, magic: bytes = b"VCLK", size: int = 104) -> bytes:
    """Return the content of a vmclock device."""
    return struct.pack("<4s8xIQ", magic, count, marker).ljust(size, b"\0")[:size]


def test_a_plain_file_serves_as_vmclock(tmp_path: Path) -> None:
    """Its marker is read anew each time, and not while the hypervisor writes it."""
    path = tmp_path / "vmclock0"
    path.write_bytes(vmclock(7))
    device = VmClock(str(path))

    seen = [device.marker()]
    for content in (
        vmclock(9, 3),
        vmclock(9, 4),
        vmclock(11, 6, magic=b"????"),
        vmclock(1, size=8),
    ):
        path.write_bytes(content)
        seen.append(device.marker())
    device.close()

    assert seen == [7, 7, 9, None, None]
    assert device.marker() is None
    assert VmClock("").marker() is None
    assert VmClock(str(tmp_path / "absent")).marker() is None


def test_a_look_sees_every_file_change(tmp_path: Path) -> None:
    """Files of the kernel are read again at each look, and may be absent."""
    source, boot = tmp_path / "current_clocksource", tmp_path / "boot_id"
    source.write_text("tsc\n")
    boot.write_text("one\n")
    timebase = FakeTimebase(raw_ns=5 * S, wall_ns=12 * S)
    lookout = Lookout(timebase, "", clocksource_path=str(source), boot_id_path=str(boot))

    first = lookout.look()
    source.write_text("hpet\n")
    timebase.step_wall_ns(S)
    second = lookout.look()
    lookout.close()

    assert (first.clocksource, first.boot_id, first.realtime_minus_raw_ns) == ("tsc", "one", 7 * S)
    assert (second.clocksource, second.boot_id) == ("hpet", "one")
    assert second.realtime_minus_raw_ns == 8 * S
    assert lookout.look().clocksource == ""


def test_this_machine_can_be_looked_at_again_and_again() -> None:
    """Nothing happens between two looks at the real clocks."""
    lookout = Lookout(SystemTimebase(), "/dev/vmclock0")

    first, second = lookout.look(), lookout.look()
    lookout.close()

    assert disruption_between(first, second) is None
    assert first.boot_id == second.boot_id != ""
