/* RingReader: follow the feed without asking anybody, and sleep until there is more. */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core.h"
#include "ring.h"

typedef struct {
    PyObject_HEAD
    Py_buffer view;
    ring_t ring;
    PyObject *lapped;
} RingReader;

static PyObject *reader_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *buffer = only_argument("RingReader", args, kwargs);
    if (buffer == NULL)
        return NULL;
    core_state *state = PyType_GetModuleState(type);
    RingReader *self = (RingReader *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->lapped = Py_NewRef(state->lapped);
    if (take_segment(buffer, 0, &self->view) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->ring.words = segment_words(&self->view, RING_OFFSET);
    self->ring.data = segment_words(&self->view, RING_OFFSET + RING_DATA_OFFSET);
    return (PyObject *)self;
}

static void reader_dealloc(RingReader *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyBuffer_Release(&self->view);
    Py_CLEAR(self->lapped);
    type->tp_free(self);
    Py_DECREF(type);
}

/* -- reading ----------------------------------------------------------------------------------- */

static PyObject *reader_head(RingReader *self, PyObject *unused)
{
    ring_head_t head;
    ring_load_head(&self->ring, &head);
    return Py_BuildValue("KK", (unsigned long long)head.position, (unsigned long long)head.seq);
}

static PyObject *reader_tail(RingReader *self, PyObject *unused)
{
    return PyLong_FromUnsignedLongLong(load_acquire(&self->ring.words[RING_tail_position]));
}

static PyObject *raise_lapped(RingReader *self, uint64_t position)
{
    unsigned long long tail = load_relaxed(&self->ring.words[RING_tail_position]);
    PyErr_Format(self->lapped, "Expected a position at or after %llu, got %llu", tail,
                 (unsigned long long)position);
    return NULL;
}

/* The record at *position as (seq, payload), and *position moved past it. What is loaded is trusted
 * only after ring_is_intact: until then a length may be anything. */
static PyObject *load_record(RingReader *self, uint64_t *position, uint64_t head_position)
{
    const ring_t *ring = &self->ring;
    ring_record_t record = ring_load_header(ring, *position);
    if (!ring_is_intact(ring, *position))
        return raise_lapped(self, *position);
    uint64_t size = ring_record_size(record.payload_size);
    /* A position that is no record's beginning leads here: whoever holds it must start afresh. */
    if (record.payload_size > RING_PAYLOAD_BYTES_MAX || size > head_position - *position)
        return raise_lapped(self, *position);
    PyObject *payload = Py_NewRef(Py_None);
    if (record.kind == RING_RECORD_ENTRY) {
        Py_SETREF(payload, PyBytes_FromStringAndSize(NULL, record.payload_size));
        if (payload == NULL)
            return NULL;
        ring_load_payload(ring, *position, PyBytes_AS_STRING(payload), record.payload_size);
        if (!ring_is_intact(ring, *position)) {
            Py_DECREF(payload);
            return raise_lapped(self, *position);
        }
    }
    *position += size;
    return Py_BuildValue("KN", (unsigned long long)record.seq, payload);
}

static PyObject *reader_read(RingReader *self, PyObject *args)
{
    unsigned long long asked;
    Py_ssize_t limit;
    ring_head_t head;
    if (!PyArg_ParseTuple(args, "Kn:read", &asked, &limit))
        return NULL;
    uint64_t position = asked;
    ring_load_head(&self->ring, &head);
    if (position > head.position || position % 8 != 0 || !ring_is_intact(&self->ring, position))
        return raise_lapped(self, position);
    PyObject *records = PyList_New(0);
    if (records == NULL)
        return NULL;
    while (position < head.position && PyList_GET_SIZE(records) < limit) {
        PyObject *record = load_record(self, &position, head.position);
        if (record == NULL || PyList_Append(records, record) < 0) {
            Py_XDECREF(record);
            Py_DECREF(records);
            return NULL;
        }
        Py_DECREF(record);
    }
    return Py_BuildValue("NK", records, (unsigned long long)position);
}

/* -- waiting ----------------------------------------------------------------------------------- */

/* The futex is the low half of `publication`. It is shared between processes, so not PRIVATE; the
 * kernel only reads it, so a read-only map will do. The deadline is absolute: signals and changes of
 * the wall clock do not lengthen it. */
static int futex_wait(const ring_t *ring, uint64_t publication, const struct timespec *deadline)
{
    const uint32_t *futex = (const uint32_t *)&ring->words[RING_publication];
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    futex++;
#endif
    long result = syscall(SYS_futex, futex, FUTEX_WAIT_BITSET, (uint32_t)publication, deadline,
                          NULL, FUTEX_BITSET_MATCH_ANY);
    return result == 0 ? 0 : errno;
}

static PyObject *reader_wait(RingReader *self, PyObject *args)
{
    unsigned long long seen_seq;
    double timeout_s;
    ring_head_t head;
    struct timespec deadline;
    if (!PyArg_ParseTuple(args, "Kd:wait", &seen_seq, &timeout_s))
        return NULL;
    if (!(timeout_s >= 0 && timeout_s <= 1e9)) {
        PyErr_SetString(PyExc_ValueError, "timeout_s must be in 0..1e9");
        return NULL;
    }
    int64_t deadline_ns = hourbook_clock_ns(CLOCK_MONOTONIC) +
                          (int64_t)(timeout_s * HOURBOOK_BILLION);
    deadline.tv_sec = deadline_ns / HOURBOOK_BILLION;
    deadline.tv_nsec = deadline_ns % HOURBOOK_BILLION;
    for (;;) {
        int error;
        /* No wake-up is lost: the kernel sleeps only while the futex still holds the publication
         * whose head we looked at, and compares under the lock that the waker takes. */
        uint64_t publication = ring_load_head(&self->ring, &head);
        if (head.seq != seen_seq)
            Py_RETURN_TRUE;
        Py_BEGIN_ALLOW_THREADS
        error = futex_wait(&self->ring, publication, &deadline);
        Py_END_ALLOW_THREADS
        if (error == ETIMEDOUT)
            Py_RETURN_FALSE;
        if (error == EINTR && PyErr_CheckSignals() < 0)
            return NULL;
        if (error != 0 && error != EINTR && error != EAGAIN) {
            errno = error;
            return PyErr_SetFromErrno(PyExc_OSError);
        }
    }
}

static PyMethodDef reader_methods[] = {
    {"head", (PyCFunction)reader_head, METH_NOARGS,
     "head() -> (position, seq): where the next record will go, and the seq of the last."},
    {"tail", (PyCFunction)reader_tail, METH_NOARGS,
     "tail() -> position: of the oldest record that is still whole."},
    {"read", (PyCFunction)reader_read, METH_VARARGS,
     "read(position, limit, /) -> ([(seq, payload)], next_position); raises Lapped."},
    {"wait", (PyCFunction)reader_wait, METH_VARARGS,
     "wait(seen_seq, timeout_s, /) -> bool: sleep until the head's seq is another."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot reader_slots[] = {
    {Py_tp_doc, "RingReader(buffer): the feed, for one follower."},
    {Py_tp_new, reader_new},
    {Py_tp_dealloc, reader_dealloc},
    {Py_tp_methods, reader_methods},
    {0, NULL}};

PyType_Spec ring_reader_spec = {
    .name = "shm._core.RingReader",
    .basicsize = sizeof(RingReader),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = reader_slots,
};
