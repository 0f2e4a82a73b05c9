"""A connection that is lost while a message of many frames is taken from it."""

import zmq
from waiting import wait_until

from hourbook.home import Home
from hourbook.link.connection import Connection

FRAMES = [b"%d" % number for number in range(20)]


def test_message_is_whole_though_its_sender_is_gone(home: Home) -> None:
    """What asks for the rest after the loss was heard of, libzmq aborts."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    actor = context.socket(zmq.ROUTER)
    actor.bind(home.mailbox_uri("journal_writer"))
    ours = Connection(home, "journal_writer")
    wait_until(lambda: ours.try_send([b"hello"]), 10, "a connection")
    peer, _ = actor.recv_multipart()
    actor.send_multipart([peer, *FRAMES])
    wait_until(lambda: has_come(ours), 10, "the message")

    first = ours.receive(1)
    actor.close(0)
    successor = context.socket(zmq.ROUTER)
    wait_until(lambda: is_bound(successor, home), 10, "the address to be free")
    wait_until(lambda: ours.count_made() == 2, 10, "a new connection")
    rest = ours.receive(len(FRAMES))

    assert first == FRAMES
    assert rest == []
    ours.close()
    context.destroy(linger=0)


def has_come(connection: Connection) -> bool:
    """Say whether there is something to take."""
    return bool(int(connection._socket.get(zmq.EVENTS)) & zmq.POLLIN)


def is_bound(socket: "zmq.Socket[bytes]", home: Home) -> bool:
    """Bind a mailbox; say whether that worked."""
    try:
        socket.bind(home.mailbox_uri("journal_writer"))
    except zmq.ZMQError:
        return False
    return True
