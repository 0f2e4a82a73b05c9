"""When the model looks for a leap second: at its instant, and once it is certainly over."""

import pytest
from fakes.clock_samples import S_NS, truth_ns

from actors.leap_seconds import LeapSeconds
from hourbook.clock.leap import Leaps
from hourbook.clock.leaping import Ahead, Looked, Watch
from hourbook.clock.state import Limits, initial

NO_LEAPS = Leaps()
AT_0 = initial(Limits(), 0, truth_ns(0))


@pytest.mark.parametrize(
    ("ahead_ns", "left_s"),
    [(S_NS // 4, 0.25), (S_NS, None), (3600 * S_NS, None), (0, None), (-S_NS, None)],
)
def test_event_within_a_second_is_looked_for_at_its_instant(
    ahead_ns: int, left_s: float | None
) -> None:
    """Else it would be found up to a second late; one that is over is nothing to wait for."""
    watch = Watch(Ahead(truth_ns(0) + ahead_ns, -S_NS))

    assert LeapSeconds.left_s(Looked(watch, AT_0, NO_LEAPS), 0) == left_s


def test_sources_are_asked_as_soon_as_it_is_over() -> None:
    """When UTC is certainly past the guard."""
    watch = Watch(None, passed_utc_s=1, over_raw_ns=3 * S_NS)

    assert LeapSeconds.left_s(Looked(watch, AT_0, NO_LEAPS, "leapt"), S_NS) == 2.0
    assert LeapSeconds.left_s(Looked(watch, AT_0, NO_LEAPS, "over"), S_NS) is None
