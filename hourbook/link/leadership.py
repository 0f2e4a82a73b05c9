"""Who receives for a client: one of the threads that wait leads, the others follow.

The leader receives for all until its own answer has come; then all followers wake, and one of them
leads on. A hand-over to a thread that receives would cost as much as the round trip. After
D. Schmidt et al., "Pattern-Oriented Software Architecture", volume 2 (2000), "Leader/Followers".
"""

import threading

from hourbook.link.bell import Bell
from hourbook.link.reply import Reply

__all__ = ["Leadership"]


class Leadership:
    """Whether a thread of one client leads, and which follow.

    Attributes:
        claim: of the thread that leads; None: no thread does.
        followers: the replies that other threads wait for.
        waits: how often a thread has come to wait: who sees another number than before knows that
            some do.
        bell: wakes the leader, who watches it.
    """

    def __init__(self, state_lock: threading.Lock) -> None:
        """Begin without a leader; `state_lock` is what replies are settled under."""
        self._state_lock = state_lock
        self.followers: list[Reply] = []
        self.claim: object = None
        self.waits = 0
        self.bell = Bell()

    def take(self, reply: Reply, claim: object) -> threading.Event | None:
        """Lead (None), or follow; return what is set when `reply` is settled or the leader ends.

        Who leads under a claim ends that by taking it away, and calls :meth:`rouse` if there are
        followers then. It takes no call to take it away, and so no interrupt keeps it from that.
        """
        with self._state_lock:
            self.waits += 1
            if self.claim is not None:
                wake = reply.wake = reply.wake or threading.Event()
                wake.clear()
                self.followers.append(reply)
                if self.claim is not None:  # else the leader may have seen no followers
                    return wake
                self.followers.pop()
            self.claim = claim
            return None

    def rouse(self) -> None:
        """Wake every follower, once the leader has ended; one of them leads on."""
        with self._state_lock:
            followers, self.followers = self.followers, []
            for follower in followers:
                if follower.wake is not None:
                    follower.wake.set()

    def wake(self) -> None:
        """Have the leader look at its reply, which another thread may have settled."""
        if self.claim is not None:
            self.bell.ring()
