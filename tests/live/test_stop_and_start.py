"""What an ordered stop leaves for those who read, and what the next start finds."""

import time
from pathlib import Path

import pytest
from fakes.ntp_server import reply_to, scripted_server
from full_tree import FullTree
from waiting import wait_until

from hourbook import Clock
from hourbook.faces.clock import Status
from protocols import errors

pytestmark = pytest.mark.live

S = 1_000_000_000


def test_a_clock_that_is_open_lives_through_a_stop(tmp_path: Path) -> None:
    """It runs free and says so, while nobody can open another; a start sets it right again."""
    with (
        scripted_server(lambda request, _: [reply_to(request)]) as server,
        FullTree(
            tmp_path,
            f'actor.ntp_sampler.config.servers=["{server.name}"]',
            "actor.ntp_sampler.config.burst_interval_s=0.25",
        ) as tree,
    ):
        clock = Clock(tree.home)
        synchronized = clock.wait_synchronized(10)
        inode = tree.home.segment.stat().st_ino

        began_s = time.monotonic()
        tree.stop()
        took_s = time.monotonic() - began_s
        refused = tree.hourbook("now")
        with pytest.raises(errors.ClockUnavailable, match="closed by a stop"):
            Clock(tree.home)
        wait_until(lambda: clock.now().status is Status.FREE_RUNNING, 10, "an honest status")
        alone = clock.now()
        tree.start()
        again = clock.wait_synchronized(10)

        assert took_s < 5, "nobody had to be killed"
        assert refused.returncode != 0
        assert "supervisor start" in refused.stderr
        assert synchronized.time_ns < alone.time_ns < again.time_ns
        wall_ns = time.time_ns()
        assert alone.earliest_ns < wall_ns
        assert abs(clock.time_ns() - wall_ns) < S
        assert tree.home.segment.stat().st_ino == inode
        assert Clock(tree.home).now().status is Status.SYNCHRONIZED
