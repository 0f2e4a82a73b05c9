"""One source's memory: eight samples, the best of them, and what proves a jump."""

from fakes.clock_samples import S_NS, sample

from hourbook.clock import register
from hourbook.clock.bounds import Drift, Interval
from hourbook.clock.register import Source
from protocols.clock_messages import ClockSample

DRIFT = Drift(0, 500_000)


def source_of(*samples: ClockSample) -> Source:
    """Return a source that has absorbed the samples."""
    source = None
    for one in samples:
        source = register.absorb(source, one, DRIFT)
    assert source is not None
    return source


def test_register_keeps_the_last_eight() -> None:
    """The ninth sample pushes the first one out."""
    source = source_of(*(sample(at_s=n) for n in range(9)))

    assert len(source.samples) == register.REGISTER_SIZE
    assert source.samples[0].raw_ns == 1 * S_NS
    assert source.absorbed == 9


def test_lowest_delay_speaks_while_it_is_fresh() -> None:
    """A quick exchange a second ago beats a slow one now, and loses to it after a minute."""
    quick = sample(at_s=0, half_width_ms=1)

    near = source_of(quick, sample(at_s=1, half_width_ms=20))
    far = source_of(quick, sample(at_s=60, half_width_ms=20))

    assert register.best(near, 1 * S_NS, DRIFT) is quick
    assert register.best(far, 60 * S_NS, DRIFT) is far.newest


def test_interval_ages_from_its_own_sample() -> None:
    """The best sample's half-width plus 500 ppm of its age."""
    source = source_of(sample(at_s=0, half_width_ms=1))

    interval = register.interval_at(source, 10 * S_NS, DRIFT)

    assert interval == Interval(
        source.newest.utc_ns + 10 * S_NS - 6_000_000, source.newest.utc_ns + 10 * S_NS + 6_000_000
    )


def test_contradiction_forgets_the_old_samples() -> None:
    """A source that jumps further than its intervals allow starts anew, and is counted."""
    source = source_of(sample(at_s=0), sample(at_s=16), sample(at_s=32, offset_ms=500))

    assert len(source.samples) == 1
    assert (source.absorbed, source.contradictions) == (3, 1)


def test_source_without_a_bound_does_not_live_on_its_past() -> None:
    """A kernel that loses its synchronisation vouches for nothing from then on."""
    source = source_of(sample(at_s=0), sample(at_s=4, half_width_ms=None))

    assert register.interval_at(source, 4 * S_NS, DRIFT) is None
    assert source.contradictions == 0


def test_quiet_delay_is_the_lowest_in_the_register() -> None:
    """What a path takes without queues."""
    source = source_of(sample(at_s=0, delay_ms=5), sample(at_s=16, delay_ms=3))

    assert source.delay_ns_min == 3_000_000
