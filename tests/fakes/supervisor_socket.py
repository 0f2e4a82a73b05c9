"""A control socket that answers every ``status`` with a prepared one, in a thread of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import zmq

from hourbook.home import Home
from protocols import control, wire

__all__ = ["actor_row", "answering_supervisor", "tree_status"]


def actor_row(name: str, node: str = "time", state: str = "READY") -> control.ActorRow:
    """Return a plausible row of an actor."""
    return control.ActorRow(
        name=name,
        node=node,
        state=state,
        pid=4242,
        incarnation=2,
        uptime_s=12.5,
        restarts=1,
        restarts_window=1,
        beat_age_s=0.25,
        rss_bytes=31_457_280,
        cpu_percent=1.5,
        endpoints={},
        reason="",
        cause="signal SIGKILL",
    )


def tree_status(
    *rows: control.ActorRow, snapshots: dict[str, control.Snapshot] | None = None
) -> control.Status:
    """Return a plausible status of a tree with the given rows."""
    supervisor = control.SupervisorRow(
        pid=4141,
        version="0.1.0",
        home="/home/ann/hourbook",
        run_dir="/dev/shm/hourbook-0-0",  # noqa: S108 - a text in a record
        config="",
        state="READY",
        uptime_s=60.0,
        rss_bytes=20_971_520,
        stale_messages=3,
        dropped_log_lines=0,
    )
    return control.Status(supervisor, list(rows), snapshots or {})


@contextmanager
def answering_supervisor(home: Home, status: control.Status) -> Iterator[list[wire.Envelope]]:
    """Answer on the control socket of `home` until the block ends; yield the requests heard."""
    heard: list[wire.Envelope] = []
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.bind(home.mailbox_uri(control.SUPERVISOR_NAME))
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            if router.poll(20):
                peer, frame = router.recv_multipart()
                envelope = wire.decode_envelope(frame)
                heard.append(envelope)
                reply = wire.encode_reply(envelope.id, status, src=control.SUPERVISOR_NAME)
                router.send_multipart((peer, reply))
        router.close(linger=0)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield heard
    finally:
        ended.set()
        thread.join()
        context.term()
