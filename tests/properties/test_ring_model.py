"""The ring against a model: a list of everything that was ever published."""

from hypothesis import given, settings
from hypothesis import strategies as st
from ring_records import Record, records_from

from shm import _core, layout

sizes = st.one_of(
    st.integers(0, 40),
    st.integers(0, 3000),
    st.sampled_from([layout.RING_PAYLOAD_BYTES_MAX, layout.RING_PAYLOAD_BYTES_MAX + 1, 700_000]),
)
batches = st.lists(st.lists(sizes, max_size=12), max_size=30)
positions = st.sampled_from([0, 8, (1 << 32) - 16, (1 << 63) - 8, layout.RING_DATA_SIZE - 8])


def ring_at(position: int, publication: int) -> bytearray:
    """Return an empty ring whose positions and publications have come a long way."""
    data = bytearray(layout.SEGMENT_SIZE)
    head = layout.RING.offset + 64 + 16 * (publication & 1)
    data[layout.RING.offset : layout.RING.offset + 16] = publication.to_bytes(
        8, "little"
    ) + position.to_bytes(8, "little")
    data[head : head + 8] = position.to_bytes(8, "little")
    return data


def payload_of(seq: int, size: int) -> bytes:
    """Return bytes that are told apart by seq and by place."""
    return (seq.to_bytes(8, "little") * (size // 8 + 1))[:size]


@settings(max_examples=60, deadline=None)
@given(batches, positions, st.sampled_from([0, (1 << 32) - 3, (1 << 64) - 20]))
def test_ring_is_the_end_of_the_model(
    batches: list[list[int]], position: int, publication: int
) -> None:
    """From the tail on, records are the last ones published; wrap-around changes nothing."""
    buffer = ring_at(position, publication)
    feed, reader = _core.RingWriter(buffer), _core.RingReader(buffer)
    model: list[Record] = []
    for batch in batches:
        payloads = [payload_of(len(model) + i, size) for i, size in enumerate(batch, 1)]
        feed.publish(len(model) + 1, payloads)
        model += [
            (len(model) + i, p if len(p) <= layout.RING_PAYLOAD_BYTES_MAX else None)
            for i, p in enumerate(payloads, 1)
        ]

    records, end = records_from(reader, reader.tail())

    assert records == model[len(model) - len(records) :]
    assert reader.head() == (end, len(model))
    kept = sum(16 + (len(p or b"") + 7) // 8 * 8 for _, p in records)
    if len(records) < len(model):
        biggest = 16 + layout.RING_PAYLOAD_BYTES_MAX
        assert layout.RING_DATA_SIZE - biggest < kept <= layout.RING_DATA_SIZE


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(sizes, min_size=1, max_size=4), min_size=1, max_size=20), st.data())
def test_follower_sees_each_record_once_or_is_lapped(
    batches: list[list[int]], data: st.DataObject
) -> None:
    """Whatever the pace, seqs are contiguous, or Lapped says that they are not."""
    buffer = ring_at(0, 0)
    feed, reader = _core.RingWriter(buffer), _core.RingReader(buffer)
    position, seen = 0, 0
    published: list[bytes] = []
    for batch in batches:
        begin = len(published) + 1
        published += [payload_of(seq, size) for seq, size in enumerate(batch, begin)]
        feed.publish(begin, published[begin - 1 :])
        if data.draw(st.booleans()):
            limit = data.draw(st.integers(1, 20))
            try:
                payloads, last, position, seq = reader.read(position, seen, limit)
            except _core.Lapped:
                position, seen = reader.head()
                continue
            assert payloads == published[seen:last]
            assert all(len(each) > layout.RING_PAYLOAD_BYTES_MAX for each in published[last:seq])
            assert 0 <= seq - last <= 1
            seen = seq  # who meets a stub reads it in the database
