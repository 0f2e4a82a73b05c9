"""From estimates to pages: small errors are slewed, large ones stepped, time never runs back."""

import random

import msgspec
import pytest

from hourbook.clock.publication import Settings, base_ns, centre_ns, output_ns, propose
from protocols.clock_messages import FLAG_SLEWING, ClockEstimate
from shm.layout import UNBOUNDED_LATEST_NS, Status, TimePage

S = 1_000_000_000
T0 = 1_000 * S
UTC = 1_800_000_000 * S
SETTINGS = Settings()


def estimate(**changes: object) -> ClockEstimate:
    """Return a bounded, synchronized estimate as of T0."""
    made = ClockEstimate(
        as_of_raw_ns=T0, utc_ns=UTC, bounded=True, earliest_off_ns=-1000, latest_off_ns=1000,
        growth_ppb=50_000, status=1, source="ntp", last_sample_raw_ns=T0, poll_s=16,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def anchored(page: TimePage, current: TimePage | None) -> TimePage:
    """Do what time_page.h does with a proposal, as of the instant it was decided."""
    if current is None or page.epoch != current.epoch:
        return page._replace(last_step_raw_ns=page.as_of_raw_ns)
    output = output_ns(current, page.as_of_raw_ns)
    moved = page.utc_at_as_of_ns - output
    return page._replace(
        utc_at_as_of_ns=output,
        earliest_off_ns=page.earliest_off_ns + moved,
        latest_off_ns=page.latest_off_ns + moved,
    )


def test_first_page_steps_to_the_estimate() -> None:
    """Epoch 1, nothing to slew, and the interval as it is."""
    proposal = propose(estimate(), None, T0, SETTINGS)

    assert proposal.is_step
    assert proposal.page.epoch == 1
    assert proposal.page.utc_at_as_of_ns == UTC
    assert (proposal.page.earliest_off_ns, proposal.page.latest_off_ns) == (-1000, 1000)
    assert proposal.page.slew_ppb == proposal.page.steps == 0
    assert proposal.page.source == b"ntp"


@pytest.mark.parametrize(
    ("error_ns", "slew_ppb", "slew_s", "is_step"),
    [
        (0, 0, 0, False),
        (2, 0, 0, False),
        (-3, -3, 1, False),
        (400_000, 400_000, 1, False),
        (-1_000_000, -500_000, 2, False),
        (128_000_000, 500_000, 256, False),
        (128_000_001, 0, 0, True),
        (-128_000_001, 0, 0, True),
    ],
)
def test_error_is_slewed_or_stepped(
    error_ns: int,
    slew_ppb: int,
    slew_s: int,
    is_step: bool,  # noqa: FBT001 - a column
) -> None:
    """Within a second, at most at 500 ppm, and a new epoch beyond the threshold."""
    current = anchored(propose(estimate(), None, T0, SETTINGS).page, None)

    page, stepped = propose(estimate(utc_ns=UTC + error_ns), current, T0, SETTINGS)

    assert stepped is is_step
    assert page.slew_ppb == slew_ppb
    assert page.slew_end_raw_ns == (T0 + slew_s * S if slew_ppb else 0)
    assert page.epoch == current.epoch + is_step
    assert page.steps == is_step
    assert bool(page.flags & FLAG_SLEWING) is (abs(error_ns) > 1000 and not is_step)


def test_announced_step_is_taken_once() -> None:
    """The estimate repeats until the next one, also after a restart of the publisher."""
    current = anchored(propose(estimate(), None, T0, SETTINGS).page, None)
    news = estimate(as_of_raw_ns=T0 + S, utc_ns=UTC + S + 5000, is_step=True)

    first = propose(news, current, T0 + 2 * S, SETTINGS)
    second = propose(news, anchored(first.page, current), T0 + 3 * S, SETTINGS)

    assert (first.is_step, second.is_step) == (True, False)


def test_interval_ages_with_the_estimate() -> None:
    """An estimate of 100 s ago is 5 ms wider on each side."""
    page, _ = propose(estimate(), None, T0 + 100 * S, SETTINGS)

    assert page.latest_off_ns == 1000 + 5_000_000
    assert page.earliest_off_ns == -1000 - 5_000_000


def test_unbounded_and_disrupted_estimates_have_no_interval() -> None:
    """The sentinel says so, and a disruption says DISRUPTED."""
    unbounded, _ = propose(estimate(bounded=False), None, T0, SETTINGS)
    disrupted, _ = propose(estimate(), None, T0, SETTINGS, is_disrupted=True)

    assert not unbounded.is_bounded
    assert disrupted.latest_off_ns == UNBOUNDED_LATEST_NS
    assert disrupted.status == Status.DISRUPTED


def test_output_never_runs_back_and_comes_home(rng: random.Random) -> None:
    """Under any estimates within the threshold: monotonic, and at the centre once they rest."""
    now_ns, news = T0, estimate()
    current = anchored(propose(news, None, now_ns, SETTINGS).page, None)
    last = output_ns(current, now_ns)
    for _ in range(2000):
        now_ns += rng.randrange(1, 2 * S)
        if rng.random() < 0.3 and now_ns < T0 + 1000 * S:
            error_ns = rng.randrange(-50_000_000, 50_000_000)
            news = estimate(
                as_of_raw_ns=now_ns - rng.randrange(S),
                utc_ns=UTC + (now_ns - T0) + error_ns,
                rate=rng.randrange(-(1 << 37), 1 << 37),
            )
        page, is_step = propose(news, current, now_ns, SETTINGS)
        current = anchored(page, current)
        assert is_step or output_ns(current, now_ns) >= last
        last = output_ns(current, now_ns)
        assert base_ns(page, now_ns) == centre_ns(news, now_ns)

    assert abs(output_ns(current, now_ns) - centre_ns(news, now_ns)) <= 1000
