"""A minute against a real chronyd that runs 100 ppm fast: the rate comes out within 2 ppm.

Marked `slow`, so that `make test` leaves it out: it costs over a minute of waiting for two seconds
of processor time. ``make test ARGS="-m slow"`` runs it, and so does CI. It is not run beside the
simulator, which would keep every processor busy and make the packets wait.
"""

import time
from pathlib import Path

import pytest
from fakes.chronyd import serving_chronyd
from fakes.clock_actors import ActorProcess, TestMailbox
from fakes.ntplib_client import answers
from waiting import wait_until

from hourbook.clock import rate
from hourbook.home import Home

pytestmark = [pytest.mark.live, pytest.mark.slow]

MEASURED_S = 60
FAKE_PPB = 100_000


def real_per_raw_ppb(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Return how much faster than RAW the kernel's REALTIME ran between two pairs."""
    raw_ns = after[0] - before[0]
    return (after[1] - before[1] - raw_ns) / raw_ns * 1e9


def clock_pair() -> tuple[int, int]:
    """Return RAW and REALTIME of one instant."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW), time.time_ns()


@pytest.mark.timeout(120)
def test_rate_of_a_fast_chronyd_is_measured(home: Home, tmp_path: Path) -> None:
    """After 60 s within 2 ppm of 100 ppm on top of the kernel's own rate, and 1 ms of its time."""
    publisher = TestMailbox(home, "shm_publisher")
    running: list[ActorProcess] = []
    try:
        with serving_chronyd(tmp_path / "chronyd", "+10.0s x1.0001") as name:
            wait_until(lambda: answers(name), 10, "chronyd to answer ntplib")
            begun = clock_pair()
            sampler = {
                "servers": [name], "local_daemon": False, "poll_min_s": 1, "poll_max_s": 1,
                "burst_interval_s": 0.5,
            }  # fmt: skip
            running = [
                ActorProcess(home, "actors.ntp_sampler:NtpSampler", "ntp_sampler", sampler),
                ActorProcess(home, "actors.clock_model:ClockModel", "clock_model", {}),
            ]
            due_raw_ns = begun[0] + MEASURED_S * 1_000_000_000
            estimate = publisher.next_estimate(
                MEASURED_S + 20, lambda e: e.as_of_raw_ns >= due_raw_ns
            )
            ended = clock_pair()
    finally:
        for actor in running:
            actor.kill()
        publisher.close()

    expected_ppb = (1 + FAKE_PPB / 1e9) * (1e9 + real_per_raw_ppb(begun, ended)) - 1e9
    measured_ppb = rate.to_ppb(estimate.rate)
    print(f"expected {expected_ppb:.0f} ppb, measured {measured_ppb} of {estimate.samples} samples")
    assert abs(measured_ppb - expected_ppb) < 2000
