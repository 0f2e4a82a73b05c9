"""What the clock remembers between runs: one small JSON file, replaced as a whole.

The rate of the oscillator is worth something after a reboot. The hard interval is worth something
only while CLOCK_MONOTONIC_RAW goes on: in the same boot, the same time namespace, and without a
suspend in between. :func:`recall` decides which of them to believe; a file that is damaged, from
another version or absurd is reported and otherwise ignored, since the clock does without it.
"""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Annotated, Final

import msgspec

from hourbook.clock import centre, state
from hourbook.clock.bounds import Drift, Interval
from hourbook.clock.disruption import SUSPEND_NS_MIN
from hourbook.clock.state import Held, Limits, State

__all__ = [
    "VERSION",
    "Epoch",
    "Recalled",
    "Remembered",
    "load",
    "read_epoch",
    "recall",
    "remember",
    "save",
]

VERSION: Final = 1
FILE_BYTES_MAX: Final = 65_536
REBOOT_SIGMA_PPB: Final = 5_000.0
"""How far a new boot's calibration of the oscillator may move its rate."""
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_TIME_NAMESPACE: Final = Path("/proc/self/ns/time")

_Ns = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
_Rate = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]


class Epoch(msgspec.Struct, frozen=True):
    """Within which CLOCK_MONOTONIC_RAW is one unbroken scale.

    Attributes:
        boot: boot id and time namespace.
        suspended_ns: time spent in suspend since boot, which RAW does not count.
    """

    boot: str
    suspended_ns: int


class Remembered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file. Times in nanoseconds, rates in ppb; `held` as of `raw_ns`, None where unproven."""

    version: int
    epoch: Epoch
    saved_wall_ns: _Ns
    rate_ppb: _Rate
    sigma_rate_ppb: Annotated[float, msgspec.Meta(gt=0, le=1e6)]
    raw_ns: _Ns
    centre_ns: _Ns
    poll_s: Annotated[int, msgspec.Meta(ge=1, le=1024)]
    reference_ppb: Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)]
    max_drift_ppb: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    last_step_raw_ns: _Ns
    earliest_ns: _Ns | None = None
    latest_ns: _Ns | None = None


class Recalled(msgspec.Struct, frozen=True):
    """What of a file is worth believing now, and in words what was not."""

    state: State
    remark: str


# -- decisions ----------------------------------------------------------------------------------


def remember(model: State, epoch: Epoch, wall_ns: int) -> Remembered | None:
    """Return what is worth keeping of a state; None where nothing was ever proven.

    After a disruption that is the rate alone: the interval of before must not come back.
    """
    if model.origin != "ntp":
        return None
    raw_ns = model.held.raw_ns if model.held else model.centre.reference.raw_ns
    line = centre.predict(model.centre, raw_ns)
    held = model.held.interval if model.held else None
    return Remembered(
        version=VERSION,
        epoch=epoch,
        saved_wall_ns=wall_ns,
        rate_ppb=line.rate_ppb,
        sigma_rate_ppb=max(line.sigma_rate_ppb, 1.0),
        raw_ns=raw_ns,
        centre_ns=held.clamp(line.utc_ns) if held else line.utc_ns,
        poll_s=model.poll_s,
        reference_ppb=model.drift.reference_ppb,
        max_drift_ppb=model.drift.max_drift_ppb,
        last_step_raw_ns=model.last_step_raw_ns,
        earliest_ns=held.earliest_ns if held else None,
        latest_ns=held.latest_ns if held else None,
    )


def recall(
    kept: Remembered | None, limits: Limits, epoch: Epoch, raw_ns: int, wall_ns: int
) -> Recalled:
    """Return the state to begin with, from what was kept (None: nothing)."""
    if kept is None:
        return Recalled(state.initial(limits, raw_ns, wall_ns), "no drift file")
    is_unbroken = (
        kept.epoch.boot == epoch.boot
        and abs(kept.epoch.suspended_ns - epoch.suspended_ns) < SUSPEND_NS_MIN
        and kept.raw_ns <= raw_ns
    )
    sigma_ppb = kept.sigma_rate_ppb if is_unbroken else max(kept.sigma_rate_ppb, REBOOT_SIGMA_PPB)
    begun = state.initial(limits, raw_ns, wall_ns, (kept.rate_ppb, sigma_ppb))
    if not is_unbroken:
        return Recalled(begun, f"rate of {kept.rate_ppb:.0f} ppb from an earlier boot or sleep")
    if kept.earliest_ns is None or kept.latest_ns is None or kept.earliest_ns > kept.latest_ns:
        return Recalled(begun, f"rate of {kept.rate_ppb:.0f} ppb, no interval")
    # Limits may have been widened since: the premise must not be stronger than the operator's.
    drift = Drift(kept.reference_ppb, max(kept.max_drift_ppb, limits.max_drift_ppb))
    held = Held(kept.raw_ns, Interval(kept.earliest_ns, kept.latest_ns))
    resumed = state.resume(begun, held, drift, kept.centre_ns, kept.poll_s, kept.last_step_raw_ns)
    age_s = (raw_ns - kept.raw_ns) // 1_000_000_000
    return Recalled(resumed, f"interval of {age_s} s ago, rate of {kept.rate_ppb:.0f} ppb")


# -- edges --------------------------------------------------------------------------------------


def read_epoch(suspended_ns: int) -> Epoch:
    """Return the epoch that this process lives in; an unreadable one is never like another."""
    try:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
        namespace = str(_TIME_NAMESPACE.readlink()) if _TIME_NAMESPACE.exists() else ""
    except OSError:
        return Epoch(f"unreadable {secrets.token_hex(8)}", suspended_ns)
    return Epoch(f"{boot} {namespace}".strip(), suspended_ns)


def load(path: Path) -> Remembered | str | None:
    """Read the file: its content, why it is useless, or None where there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"Expected a drift file, got: {error.strerror}, at {path}"
    try:
        kept = msgspec.json.decode(data, type=Remembered)
    except (msgspec.DecodeError, RecursionError) as error:
        return f"Expected a drift file, got: {error}, at {path}"
    if kept.version != VERSION:
        return f"Expected a drift file of version {VERSION}, got {kept.version}, at {path}"
    return kept


def save(path: Path, kept: Remembered) -> None:
    """Replace the file as a whole, so that a crash leaves the old one or the new one.

    Raises:
        OSError: no room, no permission.
    """
    new_path = path.with_name(f"{path.name}.new")
    descriptor = os.open(new_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new_path.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new_path.unlink()
        raise
