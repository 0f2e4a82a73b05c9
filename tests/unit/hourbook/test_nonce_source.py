"""Nonces: they rise, and nobody else gets what a request has taken."""

import threading

from hourbook.link.nonce_source import new_nonces
from protocols.change import CHANGE_NONCES
from protocols.entry import nonce_parts


def test_nonces_of_one_connection_never_overlap_among_threads() -> None:
    """Requests of several threads get spans of their own, of one incarnation."""
    source, taken = new_nonces(), []

    def take() -> None:
        taken.extend([next(source) for _ in range(1000)])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    parts = sorted(nonce_parts(nonce) for nonce in taken)
    assert len({incarnation for incarnation, _ in parts}) == 1
    counters = [counter for _, counter in parts]
    assert counters == [1 + number * CHANGE_NONCES for number in range(4000)]
