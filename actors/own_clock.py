"""This machine's own clock as a source, for as long as no server has ever answered.

An edge of ntp_sampler: it reads the kernel's view every few seconds, or takes the operator's word
for it, and tells clock_model. Once a server has answered it is silent for good: what the kernel
says of itself is no evidence beside a measurement.
"""

import logging
from typing import Final

from actors.base import Reactor
from actors.config import NtpSamplerConfig
from hourbook.clock import exchange, kernel
from hourbook.clock.adjtimex import read_kernel_clock
from protocols.clock_messages import SAMPLE_KIND, ClockSample

__all__ = ["KERNEL_POLL_S", "MODEL", "OwnClock"]

MODEL: Final = "clock_model"
KERNEL_POLL_S: Final = 4
"""Reading the kernel costs a microsecond; its interval grows by 2 ms in between."""
_S_NS: Final = 1_000_000_000


class OwnClock:
    """Tells what this machine's clock is worth until :meth:`silence`.

    Attributes:
        worth: that in words; "" before the first look, and once a server has answered.
    """

    def __init__(self, config: NtpSamplerConfig, reactor: Reactor, log: logging.Logger) -> None:
        self.config = config
        self.worth = ""
        self._reactor = reactor
        self._log = log
        self._is_silent = False

    def start(self) -> None:
        """Give the servers a moment first."""
        self._reactor.after(self.config.kernel_after_s, self._tell)

    def silence(self) -> None:
        """Say nothing more: a server has answered."""
        self._is_silent, self.worth = True, ""

    def _tell(self) -> None:
        if self._is_silent:
            return
        sample, worth = self._look()
        if sample is None:
            return
        if not self.worth:
            self._log.info("no server has answered yet, using this machine's clock: %s", worth)
        self.worth = worth
        self._reactor.tell(MODEL, SAMPLE_KIND, sample)
        self._reactor.after(KERNEL_POLL_S, self._tell)

    def _look(self) -> tuple[ClockSample | None, str]:
        """Return the clock as a sample and in words; none where nobody wants it."""
        reading = exchange.read_clocks()
        if error_s := self.config.assume_realtime_error_s:
            sample = kernel.asserted_sample(reading, round(error_s * _S_NS), KERNEL_POLL_S)
            return sample, f"asserted to be right within {error_s:g} s"
        if not self.config.kernel_fallback:
            return None, ""
        clock = read_kernel_clock()
        floor_ns = round(self.config.kernel_floor_s * _S_NS)
        sample = kernel.kernel_sample(clock, reading, floor_ns, KERNEL_POLL_S)
        return sample, kernel.why_unbounded(clock) or f"within {clock.maxerror_ns / 1e9:g} s"
