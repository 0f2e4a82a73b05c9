"""When which server is asked: burst, calm, silence, kisses of death, and being polite."""

import dataclasses

import pytest

from hourbook.clock import polling
from hourbook.clock.polling import Address, Pace, Server

S_NS = 1_000_000_000
PACE = Pace(poll_s_min=16, poll_s_max=256, burst_count=4, burst_interval_s=2.0)
PUBLIC = Address("192.0.2.1", 123, is_loopback=False)
OTHER = Address("192.0.2.2", 123, is_loopback=False)
LOOPBACK = Address("127.0.0.1", 11123, is_loopback=True)
WIDE_NS = 20_000_000
"""Half-width of a measurement over a wide area: worth waiting for 400 s."""
NEAR_NS = 1_000_000
"""Of one next door: worth 20 s."""


def found(address: Address = PUBLIC, pace: Pace = PACE) -> Server:
    """Return a server whose name was looked up at time 0."""
    return polling.resolved(polling.new("s", pace, 0), [address], (), pace, 0)


def waits_s(server: Server, count: int, pace: Pace = PACE) -> list[float]:
    """Return the waits between requests that are all answered."""
    waits, now_ns = [], 0
    for _ in range(count):
        server = polling.asked(server, now_ns)
        server = polling.answered(server, WIDE_NS, pace, now_ns, jitter=0.0)
        waits.append((server.next_mono_ns - now_ns) / S_NS)
        now_ns = server.next_mono_ns
    return waits


def test_new_server_is_looked_up_at_once() -> None:
    """Nothing can be asked before the name is known."""
    server = polling.new("s", PACE, 7)

    assert (server.next_action, server.next_mono_ns) == ("resolve", 7)


def test_burst_comes_first_then_the_poll_doubles_to_its_maximum() -> None:
    """Four requests two seconds apart, then 16 s, doubling after every four calm answers."""
    waits = waits_s(found(), 24)

    assert waits[:4] == [2.0, 2.0, 2.0, 32.0]
    assert set(waits[4:7]) == {32.0}
    assert waits[-1] == 256.0
    assert waits == sorted(waits)


def test_requests_are_spread_by_a_tenth_and_never_come_early() -> None:
    """Clients that began together must not ask together; the rules are about the shortest wait."""
    server = polling.asked(after_answers(found(), WIDE_NS, 4), 0)

    due_s = []
    for jitter in (0.0, 0.5, 1.0):
        answered = polling.answered(server, WIDE_NS, PACE, 0, jitter)
        failed = polling.failed(server, "no reply", PACE, 0, jitter)
        due_s.append((answered.next_mono_ns / S_NS, failed.next_mono_ns / S_NS))

    assert server.poll_s == 32
    assert due_s == [(32.0, 64.0), (33.6, 67.2), (35.2, 70.4)]


def after_answers(server: Server, half_width_ns: int, count: int) -> Server:
    """Return a server that has answered so often."""
    for _ in range(count):
        asked = polling.asked(server, 0)
        server = polling.answered(asked, half_width_ns, PACE, 0, jitter=0.0)
    return server


def test_server_next_door_is_asked_often() -> None:
    """Waiting longer would cost more than the measurement leaves open."""
    assert after_answers(found(), NEAR_NS, 24).poll_s == 16


def test_poll_shortens_when_the_path_gets_better() -> None:
    """From 256 s over a wide area back to what a short path is worth, a half at a time."""
    far = after_answers(found(), WIDE_NS, 24)

    polls = [after_answers(far, NEAR_NS, count).poll_s for count in range(1, 5)]

    assert (far.poll_s, polls) == (256, [128, 64, 32, 32])


def test_silence_backs_off_exponentially() -> None:
    """Unanswered requests come at ever longer intervals, up to the longest poll."""
    server, now_ns, waits = found(), 0, []
    for _ in range(9):
        server = polling.asked(server, now_ns)
        server = polling.failed(server, "no reply", PACE, now_ns, jitter=0.0)
        waits.append((server.next_mono_ns - now_ns) / S_NS)
        now_ns = server.next_mono_ns

    assert waits == [2, 2, 2, 32, 64, 128, 256, 256, 256]


def test_one_lost_reply_only_doubles_the_wait() -> None:
    """A single loss costs one poll, and the next answer restores the pace."""
    server = found()
    for _ in range(5):
        server = polling.answered(polling.asked(server, 0), WIDE_NS, PACE, 0, jitter=0.0)
    lost = polling.failed(polling.asked(server, 0), "no reply", PACE, 0, jitter=0.0)
    again = polling.answered(polling.asked(lost, 0), WIDE_NS, PACE, 0, jitter=0.0)

    assert [s.next_mono_ns // S_NS for s in (server, lost, again)] == [32, 64, 32]
    assert again.trouble == ""


def test_address_that_stays_silent_is_looked_up_again() -> None:
    """The name may lead elsewhere; nobody is burst upon then, since a pool never ends."""
    server = found()
    for _ in range(6):
        server = polling.failed(polling.asked(server, 0), "no reply", PACE, 0, jitter=0.0)

    moved = polling.resolved(server, [OTHER], (), PACE, 99)

    assert server.next_action == "resolve"
    assert (moved.address, moved.burst_left, moved.next_mono_ns) == (OTHER, 0, 99)


def test_address_that_is_still_the_same_keeps_its_state() -> None:
    """Looking up again and finding the same changes only what is done next."""
    server = found()
    for _ in range(6):
        server = polling.failed(polling.asked(server, 0), "no reply", PACE, 0, jitter=0.0)

    same = polling.resolved(server, [PUBLIC], (), PACE, 99)

    assert (same.lost, same.next_action) == (server.lost, "ask")
    assert same.next_mono_ns == server.next_mono_ns


def test_reach_shows_the_last_eight() -> None:
    """One bit for each request, set when it was answered."""
    server = polling.answered(polling.asked(found(), 0), WIDE_NS, PACE, 0, jitter=0.0)
    server = polling.failed(polling.asked(server, 0), "no reply", PACE, 0, jitter=0.0)
    server = polling.answered(polling.asked(server, 0), WIDE_NS, PACE, 0, jitter=0.0)

    assert server.reach == 0b101


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_public_servers_are_never_asked_faster_than_the_rules_allow(jitter: float) -> None:
    """Whatever is configured: 2 s in the burst, 16 s after it."""
    eager = Pace(poll_s_min=1, poll_s_max=16, burst_count=2, burst_interval_s=0.05)
    server = found(pace=eager)

    waits = []
    for _ in range(6):
        server = polling.asked(server, 0)
        server = polling.answered(server, WIDE_NS, eager, 0, jitter)
        waits.append(server.next_mono_ns / S_NS)

    assert 2.0 <= waits[0] < 2.2
    assert all(16.0 <= wait < 17.6 for wait in waits[1:])


def test_loopback_is_exempt() -> None:
    """A server on this machine may be asked as fast as configured."""
    eager = Pace(poll_s_min=1, poll_s_max=1, burst_count=2, burst_interval_s=0.05)

    assert waits_s(found(LOOPBACK, eager), 3, eager) == [0.05, 1.0, 1.0]


def test_rate_kiss_doubles_the_poll_and_holds_for_a_minute() -> None:
    """We were too fast: slower from now on, and a pause first."""
    server = polling.kissed(polling.asked(found(), 0), "RATE", PACE, 0, jitter=0.0)

    assert (server.poll_s, server.burst_left) == (32, 0)
    assert server.next_mono_ns == polling.HOLD_S * S_NS
    assert server.trouble == "kiss of death RATE"
    assert after_answers(server, NEAR_NS, 9).poll_s == 32


@pytest.mark.parametrize("code", ["DENY", "RSTR"])
def test_denial_gives_the_address_up_and_takes_another(code: str) -> None:
    """The name is looked up again, and the one that sent us away is passed over."""
    denied = polling.kissed(polling.asked(found(), 0), code, PACE, 0, jitter=0.0)
    moved = polling.resolved(denied, [PUBLIC, OTHER], (), PACE, 99)
    stuck = polling.resolved(denied, [PUBLIC], (), PACE, 0)

    assert (denied.address, denied.next_action) == (None, "resolve")
    assert moved.address == OTHER
    assert (stuck.address, stuck.trouble) == (None, "every address denied us")
    assert stuck.next_mono_ns == polling.RETRY_DENIED_S * S_NS


def test_unknown_kiss_is_a_failure() -> None:
    """INIT, STEP and whatever comes: no measurement, try later."""
    server = polling.kissed(polling.asked(found(), 0), "INIT", PACE, 0, jitter=0.0)

    assert (server.lost, server.trouble) == (1, "kiss of death INIT")
    assert server.next_mono_ns == 32 * S_NS


def test_two_names_never_share_an_address() -> None:
    """The pool may give two names the same server: it would be one witness twice."""
    server = polling.resolved(polling.new("s", PACE, 0), [PUBLIC, OTHER], {PUBLIC}, PACE, 0)
    none_left = polling.resolved(polling.new("s", PACE, 0), [PUBLIC], {PUBLIC}, PACE, 0)

    assert server.address == OTHER
    assert none_left.trouble == "asked under another name"


def test_names_that_do_not_resolve_are_tried_ever_later() -> None:
    """2, 4, 8, ... up to the longest poll."""
    server, waits = polling.new("s", PACE, 0), []
    for _ in range(9):
        server = polling.unresolved(server, "no such name", PACE, 0, jitter=0.0)
        waits.append(server.next_mono_ns // S_NS)

    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 256]
    assert server.trouble == "no such name"


def test_silent_address_gives_way_to_the_next_of_its_name() -> None:
    """A name that leads to IPv6 first in a network that drops it is measured over IPv4."""
    server = found()
    for _ in range(6):
        server = polling.failed(polling.asked(server, 0), "no reply", PACE, 0, jitter=0.0)

    second = polling.resolved(server, [PUBLIC, OTHER], (), PACE, 0)
    first = polling.resolved(second, [PUBLIC, OTHER], (), PACE, 0)

    assert (second.address, first.address) == (OTHER, PUBLIC)


def test_known_address_is_asked_on_while_names_do_not_resolve() -> None:
    """A resolver that fails does not cut off a server that may be back."""
    server = found()
    for _ in range(6):
        server = polling.failed(polling.asked(server, 0), "no reply", PACE, 0, jitter=0.0)

    server = polling.unresolved(server, "does not resolve", PACE, 0, jitter=0.0)

    assert (server.address, server.next_action, server.next_mono_ns) == (PUBLIC, "ask", 2 * S_NS)


def test_condition_is_one_word() -> None:
    """What `hourbook sources` says of a server that gives no time."""
    new, asked = polling.new("s", PACE, 0), polling.asked(found(), 1)
    servers = {
        "new": new,
        "unresolved": polling.unresolved(new, "no such name", PACE, 1, jitter=0.0),
        "refused": polling.kissed(asked, "DENY", PACE, 1, jitter=0.0),
        "held": polling.kissed(asked, "RATE", PACE, 1, jitter=0.0),
        "silent": polling.failed(asked, "no reply", PACE, 1, jitter=0.0),
        "rejected": polling.failed(asked, "stratum", PACE, 1, jitter=0.0, is_heard=True),
        "answering": polling.answered(asked, WIDE_NS, PACE, 1, jitter=0.0),
    }

    assert {word: polling.condition(server, 1) for word, server in servers.items()} == {
        word: word for word in servers
    }
    assert polling.condition(asked, 1) == "new"
    assert polling.condition(servers["held"], 10**12) == "rejected"


def test_hurry_bursts_on_the_loopback_and_stays_polite_elsewhere() -> None:
    """Asked again as soon as allowed: at once here, 16 s after the last request there."""
    due_ns = 300 * S_NS
    public = polling.answered(polling.asked(found(), 0), WIDE_NS, PACE, 0, jitter=0.0)
    local = polling.answered(polling.asked(found(LOOPBACK), 0), WIDE_NS, PACE, 0, jitter=0.0)
    calm = [dataclasses.replace(s, next_mono_ns=due_ns) for s in (public, local)]

    hurried = [polling.hurry(s, PACE, 5 * S_NS) for s in calm]

    assert [s.next_mono_ns // S_NS for s in hurried] == [16, 5]
    assert [s.burst_left for s in hurried] == [0, 4]


def test_hurry_respects_a_rate_hold_and_unknown_names() -> None:
    """Neither a server that asked for less nor a name without an address is hurried."""
    held = polling.kissed(polling.asked(found(), 0), "RATE", PACE, 0, jitter=0.0)
    unknown = polling.new("s", PACE, 0)

    assert polling.hurry(held, PACE, 0) == held
    assert polling.hurry(unknown, PACE, 0) == unknown
