/* RingWriter: the one process that feeds the ring, after its commits. */
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core.h"
#include "ring.h"

/* A batch is published in parts of at most this size, so that it never overwrites itself. */
#define PART_SIZE_MAX (RING_DATA_SIZE / 2)

typedef struct {
    PyObject_HEAD
    Py_buffer view;
    ring_t ring;
    ring_head_t head;
} RingWriter;

static PyObject *writer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *buffer = only_argument("RingWriter", args, kwargs);
    if (buffer == NULL)
        return NULL;
    RingWriter *self = (RingWriter *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    if (take_segment(buffer, 1, &self->view) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->ring.words = segment_words(&self->view, RING_OFFSET);
    self->ring.data = segment_words(&self->view, RING_OFFSET + RING_DATA_OFFSET);
    ring_load_head(&self->ring, &self->head);
    return (PyObject *)self;
}

static void writer_dealloc(RingWriter *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyBuffer_Release(&self->view);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Readers may not write to the map, so they cannot say that they wait: we always ask the kernel,
 * which says how many of them did. */
static long wake_all(const ring_t *ring)
{
    uint32_t *futex = (uint32_t *)&ring->words[RING_publication];
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    futex++;
#endif
    return syscall(SYS_futex, futex, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* A record for each payload; None, and what is too large for the ring, becomes a stub. */
static int check_payload(PyObject *payload)
{
    if (payload == Py_None || PyBytes_Check(payload))
        return 0;
    PyErr_Format(PyExc_TypeError, "Expected payloads of bytes or None, got %.100s",
                 Py_TYPE(payload)->tp_name);
    return -1;
}

static void append(RingWriter *self, ring_head_t *head, PyObject *payload)
{
    ring_record_t record = {.seq = head->seq + 1, .kind = RING_RECORD_STUB, .payload_size = 0};
    const char *bytes = NULL;
    if (payload != Py_None && PyBytes_GET_SIZE(payload) <= RING_PAYLOAD_BYTES_MAX) {
        record.kind = RING_RECORD_ENTRY;
        record.payload_size = (uint32_t)PyBytes_GET_SIZE(payload);
        bytes = PyBytes_AS_STRING(payload);
    }
    uint64_t size = ring_record_size(record.payload_size);
    if (head->position + size - self->head.position > PART_SIZE_MAX) {
        ring_publish_head(&self->ring, *head);
        self->head = *head;
    }
    ring_make_room(&self->ring, head->position, size);
    ring_store_record(&self->ring, head->position, record, bytes);
    head->position += size;
    head->seq = record.seq;
}

static PyObject *writer_publish(RingWriter *self, PyObject *args)
{
    unsigned long long first_seq;
    PyObject *payloads;
    int wake = 1;
    if (!PyArg_ParseTuple(args, "KO|p:publish", &first_seq, &payloads, &wake))
        return NULL;
    if (first_seq != self->head.seq + 1)
        return PyErr_Format(PyExc_ValueError, "Expected first_seq %llu, got %llu",
                            (unsigned long long)self->head.seq + 1, first_seq);
    PyObject *items = PySequence_Fast(payloads, "Expected a sequence of payloads");
    if (items == NULL)
        return NULL;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(items);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (check_payload(PySequence_Fast_GET_ITEM(items, i)) < 0) {
            Py_DECREF(items);
            return NULL;
        }
    }
    ring_head_t head = self->head;
    for (Py_ssize_t i = 0; i < count; i++)
        append(self, &head, PySequence_Fast_GET_ITEM(items, i));
    Py_DECREF(items);
    if (count > 0) {
        ring_publish_head(&self->ring, head);
        self->head = head;
        if (wake)
            wake_all(&self->ring);
    }
    Py_RETURN_NONE;
}

static PyObject *writer_wake(RingWriter *self, PyObject *Py_UNUSED(ignored))
{
    long woken = wake_all(&self->ring);
    return PyLong_FromLong(woken > 0 ? woken : 0);
}

/* The database may have gone further than the ring (its writer died between commit and feed), or
 * back (a restored backup). Then no position that anybody holds means anything any more: the head
 * moves on by one word and the tail with it, first, so that every follower is lapped. */
static PyObject *writer_rewind(RingWriter *self, PyObject *argument)
{
    unsigned long long head_seq = PyLong_AsUnsignedLongLong(argument);
    if (head_seq == (unsigned long long)-1 && PyErr_Occurred())
        return NULL;
    uint64_t tail = load_relaxed(&self->ring.words[RING_tail_position]);
    if (self->head.seq == head_seq && tail <= self->head.position)
        Py_RETURN_NONE;
    ring_head_t head = {
        .position = (tail > self->head.position ? tail : self->head.position) + 8,
        .seq = head_seq,
    };
    store_relaxed(&self->ring.words[RING_tail_position], head.position);
    fence_release();
    ring_publish_head(&self->ring, head);
    self->head = head;
    wake_all(&self->ring);
    Py_RETURN_NONE;
}

static PyMethodDef writer_methods[] = {
    {"publish", (PyCFunction)writer_publish, METH_VARARGS,
     "publish(first_seq, payloads, wake=True, /): append a record for each payload, then wake."},
    {"wake", (PyCFunction)writer_wake, METH_NOARGS,
     "wake() -> int: wake all who wait; how many those were."},
    {"rewind", (PyCFunction)writer_rewind, METH_O,
     "rewind(head_seq, /): say which seq the database holds, at the start of a writer."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot writer_slots[] = {
    {Py_tp_doc, "RingWriter(buffer): the feed, for the process that commits."},
    {Py_tp_new, writer_new},
    {Py_tp_dealloc, writer_dealloc},
    {Py_tp_methods, writer_methods},
    {0, NULL}};

PyType_Spec ring_writer_spec = {
    .name = "shm._core.RingWriter",
    .basicsize = sizeof(RingWriter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = writer_slots,
};
