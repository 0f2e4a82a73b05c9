"""What the clock remembers: believed in part, in whole, or not at all; never a crash."""

from pathlib import Path

import pytest
from fakes.clock_samples import S_NS, UTC_0_NS, sample

from hourbook.clock import drift_file, model, state
from hourbook.clock.drift_file import Epoch, Remembered
from hourbook.clock.state import Limits, State

HERE = Epoch("boot-1", suspended_ns=0)
LIMITS = Limits()


def synchronized() -> State:
    """Return a model after five minutes of one good server, 30 ppm from nominal."""
    now = state.initial(LIMITS, 0, UTC_0_NS)
    for at_s in range(1, 300, 16):
        now = model.absorb(now, sample(at_s=at_s, rate_ppb=30_000, half_width_ms=2))
    return now


def kept() -> Remembered:
    """Return what that model leaves."""
    remembered = drift_file.remember(synchronized(), HERE, UTC_0_NS)
    assert remembered is not None
    return remembered


def test_file_round_trips(tmp_path: Path) -> None:
    """What is saved is loaded, and only its owner may read it."""
    path = tmp_path / "drift"

    drift_file.save(path, kept())

    assert drift_file.load(path) == kept()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["drift"]


def test_missing_file_is_nothing(tmp_path: Path) -> None:
    """A first run has none."""
    assert drift_file.load(tmp_path / "drift") is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage\xff\x00",
        b"{}",
        b"[" * 5000,
        b'{"version": 1, "rate_ppb": 1e400}',
        b"x" * 100_000,
    ],
    ids=["empty", "binary", "no-fields", "deep", "infinite", "large"],
)
def test_garbage_is_reported_and_ignored(tmp_path: Path, data: bytes) -> None:
    """One line that names the file; the clock does without it."""
    path = tmp_path / "drift"
    path.write_bytes(data)

    loaded = drift_file.load(path)

    assert isinstance(loaded, str)
    assert loaded.startswith("Expected a drift file, got")
    assert str(path) in loaded


def test_absurd_rate_is_garbage(tmp_path: Path) -> None:
    """A well-formed file whose oscillator would be off by a tenth."""
    path = tmp_path / "drift"
    drift_file.save(path, kept())
    path.write_bytes(path.read_bytes().replace(b'"rate_ppb": ', b'"rate_ppb": 1e8, "x": '))

    assert isinstance(drift_file.load(path), str)


def test_other_version_is_named(tmp_path: Path) -> None:
    """A file of a later program is not misread."""
    path = tmp_path / "drift"
    drift_file.save(path, kept())
    path.write_bytes(path.read_bytes().replace(b'"version": 1', b'"version": 2'))

    assert "version 1, got 2" in str(drift_file.load(path))


def test_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    """Where the new one cannot be written, the old one stays whole."""
    path = tmp_path / "drift"
    drift_file.save(path, kept())
    (tmp_path / "drift.new").mkdir()

    with pytest.raises(OSError, match="drift"):
        drift_file.save(path, kept())

    assert drift_file.load(path) == kept()


def test_same_boot_resumes_the_interval() -> None:
    """The interval is in force again, aged, and so are the rate and the epoch."""
    before, raw_ns = synchronized(), 350 * S_NS

    after = drift_file.recall(kept(), LIMITS, HERE, raw_ns, UTC_0_NS).state

    held = before.held
    assert held is not None
    assert after.held == held
    assert model.estimate(after, raw_ns).status == 2
    assert after.last_step_raw_ns == before.last_step_raw_ns
    assert abs(model.estimate(after, raw_ns).utc_ns - model.estimate(before, raw_ns).utc_ns) < 9999


@pytest.mark.parametrize(
    ("epoch", "raw_ns"),
    [
        (Epoch("boot-2", 0), 350 * S_NS),
        (Epoch("boot-1", 5 * S_NS), 350 * S_NS),
        (HERE, 10 * S_NS),
    ],
    ids=["rebooted", "slept", "raw-went-back"],
)
def test_broken_scale_keeps_the_rate_alone(epoch: Epoch, raw_ns: int) -> None:
    """The raw clock is another: its intervals are worth nothing, the crystal is the same."""
    recalled = drift_file.recall(kept(), LIMITS, epoch, raw_ns, UTC_0_NS)

    estimate = model.estimate(recalled.state, raw_ns)
    assert (estimate.status, estimate.bounded) == (0, False)
    assert abs(recalled.state.rate_prior[0] - kept().rate_ppb) < 1
    assert recalled.state.rate_prior[1] >= drift_file.REBOOT_SIGMA_PPB
    assert "earlier boot" in recalled.remark


def test_nothing_proven_is_not_kept() -> None:
    """The kernel's own view is asked again at the next start."""
    unproven = model.absorb(
        state.initial(LIMITS, 0, UTC_0_NS), sample("kernel", at_s=1, origin="kernel")
    )

    assert drift_file.remember(unproven, HERE, UTC_0_NS) is None


def test_interval_does_not_come_back_after_a_disruption() -> None:
    """What a disruption threw away is not in the file either."""
    disrupted = model.disrupt(synchronized(), 310 * S_NS)

    remembered = drift_file.remember(disrupted, HERE, UTC_0_NS)

    assert remembered is not None
    assert remembered.earliest_ns is None
    recalled = drift_file.recall(remembered, LIMITS, HERE, 320 * S_NS, UTC_0_NS)
    assert not model.estimate(recalled.state, 320 * S_NS).bounded


def test_epoch_of_this_process_is_stable() -> None:
    """Read twice, it is the same; a sleep changes it."""
    assert drift_file.read_epoch(7) == drift_file.read_epoch(7)
    assert drift_file.read_epoch(7) != drift_file.read_epoch(8)
