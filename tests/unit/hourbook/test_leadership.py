"""Which thread receives for the others, where one comes just as the leader ends."""

import threading

from hourbook.home import Home
from hourbook.link.client import MailboxClient
from hourbook.link.leadership import Leadership
from hourbook.link.reply import Reply
from protocols import wire


class EndOfLead(list[Reply]):
    """Followers among whom one is entered just after the leader has looked, and found none."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership

    def append(self, reply: Reply) -> None:
        """End the lead, and enter him."""
        self._leadership.claim = None
        super().append(reply)


def test_thread_leads_where_the_leader_has_not_seen_it_follow(home: Home) -> None:
    """Nobody would wake it else."""
    leadership = Leadership(threading.Lock())
    client = MailboxClient(home, "journal_writer", "test")
    first, second = (Reply(client, wire.Envelope(kind="x", id=n), b"", 0) for n in (1, 2))
    leadership.take(first, object())
    leadership.followers = EndOfLead(leadership)
    claim = object()

    wake = leadership.take(second, claim)

    assert wake is None
    assert leadership.claim is claim
    assert not leadership.followers
    client.close()
