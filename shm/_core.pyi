# The C core of the segment. Its users are shm.reader, shm.writer, hourbook.faces.clock and
# hourbook.faces.store.

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, final

from typing_extensions import Buffer

from shm.layout import Status

class Lapped(LookupError): ...  # noqa: N818 - an event of every follower, not a fault

@final
class Reading:
    def __new__(
        cls, time_ns: int, earliest_ns: int, latest_ns: int, sigma_ns: int, status: Status
    ) -> Reading: ...
    @property
    def time_ns(self) -> int: ...
    @property
    def earliest_ns(self) -> int: ...
    @property
    def latest_ns(self) -> int: ...
    @property
    def sigma_ns(self) -> int: ...
    @property
    def status(self) -> Status: ...
    def __hash__(self) -> int: ...

class Snapshot(NamedTuple):
    time_ns: int
    earliest_ns: int
    latest_ns: int
    sigma_ns: int
    status: Status
    raw_ns: int
    age_ns: int
    sample_age_ns: int
    is_stale: bool
    is_suspended: bool
    seq: int
    epoch: int
    flags: int
    published_status: int
    as_of_raw_ns: int
    utc_at_as_of_ns: int
    rate: int
    slew_ppb: int
    slew_end_raw_ns: int
    void_after_raw_ns: int
    earliest_off_ns: int
    latest_off_ns: int
    growth_ppb: int
    sigma_offset_ns: int
    sigma_rate_ppb: int
    q68_ns: int
    q95_ns: int
    published_raw_ns: int
    last_sample_raw_ns: int
    poll_ns: int
    boottime_minus_monotonic_ns: int
    vmclock_marker: int
    last_step_raw_ns: int
    steps: int
    disruptions: int
    source: str
    sources_selected: int
    sources_total: int
    confidence_ppm: int
    samples: int
    publications: int
    leap_utc_s: int
    leap_tai_before_s: int
    leap_tai_after_s: int
    leap_smear_kind: int
    leap_smear_length_s: int
    bound_violations: int

@final
class TimeReader:
    def __new__(
        cls,
        buffer: Buffer,
        statuses: tuple[Status, Status, Status, Status],
        refresh: Callable[[], Buffer | None],
    ) -> TimeReader: ...
    def time_ns(self) -> int: ...
    def now(self) -> Reading: ...
    def at(self, raw_ns: int, /) -> Reading: ...
    def uncertainty_ns(self, ahead_s: float = 0.0) -> int | None: ...
    def snapshot(self) -> Snapshot: ...

@final
class TimePageWriter:
    def __new__(cls, buffer: Buffer, /) -> TimePageWriter: ...
    @property
    def condition(self) -> str: ...
    def page(self) -> bytes | None: ...
    def publish(self, proposal: bytes, is_step: bool, /) -> bytes: ...

@final
class GenerationReader:
    def __new__(cls, buffer: Buffer, /) -> GenerationReader: ...
    def load(self, bucket: int, /) -> int: ...

@final
class GenerationWriter:
    def __new__(cls, buffer: Buffer, /) -> GenerationWriter: ...
    def load(self, bucket: int, /) -> int: ...
    def begin(self, buckets: Sequence[int], /) -> None: ...
    def end(self, buckets: Sequence[int], /) -> None: ...
    def reset_all(self) -> None: ...

@final
class RingReader:
    def __new__(cls, buffer: Buffer, /) -> RingReader: ...
    def head(self) -> tuple[int, int]: ...
    def tail(self) -> int: ...
    def read(
        self,
        position: int,
        seen_seq: int,
        limit: int,
        needles: tuple[tuple[bytes, ...], ...] = (),
        timeout_s: float = 0,
        /,
    ) -> tuple[list[bytes], int, int, int]: ...
    def wait(self, seen_seq: int, timeout_s: float, /) -> bool: ...

@final
class RingWriter:
    def __new__(cls, buffer: Buffer, /) -> RingWriter: ...
    def publish(
        self, first_seq: int, payloads: Sequence[bytes | None], wake: bool = True, /
    ) -> None: ...
    def wake(self) -> int: ...
    def rewind(self, head_seq: int, /) -> None: ...

@final
class StoreCache:
    def __new__(
        cls,
        namespace: str,
        load: Callable[[str], tuple[object, int] | tuple[object, int, bool] | None],
        inspect: Callable[[], Buffer | None],
        clock: Callable[[], int],
        elsewhere: Callable[..., Any],
        entries_max: int,
        bytes_max: int,
    ) -> StoreCache: ...
    # Any: whatever the store holds. `elsewhere` answers where there are keywords.
    def get(
        self,
        key: str,
        default: Any = None,  # noqa: ANN401
        *,
        version: int | None = None,
        at: Any = None,  # noqa: ANN401
    ) -> Any: ...  # noqa: ANN401
    def clear(self) -> None: ...
    def news(self, count: int, /) -> list[str]: ...
    def figures(self) -> tuple[int, int, int, int, int, list[int]]: ...

@final
class ClockBoundWriter:
    def __new__(cls, buffer: Buffer, /) -> ClockBoundWriter: ...
    @property
    def generation(self) -> int: ...
    def publish(self, body: bytes, /) -> int: ...

def layout() -> dict[str, dict[str, int]]: ...
