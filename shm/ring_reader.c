/* RingReader: follow the feed without asking anybody, and sleep until there is more. */
#include "core.h" /* first: Python.h says which of the system's functions there are (memmem) */

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

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

/* What a follower looks for: a tuple of tuples of bytes. Most records of a busy feed are not for
 * most of its followers, and to find that out here costs a third of making an object to look at. */
static int check_needles(PyObject *needles)
{
    int is_fit = PyTuple_Check(needles);
    for (Py_ssize_t i = 0; is_fit && i < PyTuple_GET_SIZE(needles); i++) {
        PyObject *any_of = PyTuple_GET_ITEM(needles, i);
        is_fit = PyTuple_Check(any_of);
        for (Py_ssize_t j = 0; is_fit && j < PyTuple_GET_SIZE(any_of); j++)
            is_fit = PyBytes_Check(PyTuple_GET_ITEM(any_of, j));
    }
    if (!is_fit)
        PyErr_SetString(PyExc_TypeError, "Expected needles as a tuple of tuples of bytes");
    return is_fit ? 0 : -1;
}

static bool has_any(PyObject *payload, PyObject *any_of)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(any_of); i++) {
        PyObject *needle = PyTuple_GET_ITEM(any_of, i);
        if (memmem(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload),
                   PyBytes_AS_STRING(needle), PyBytes_GET_SIZE(needle)) != NULL)
            return true;
    }
    return false;
}

static bool is_wanted(PyObject *payload, PyObject *needles)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(needles); i++)
        if (!has_any(payload, PyTuple_GET_ITEM(needles, i)))
            return false;
    return true;
}

/* The header of the record at `position`. What is loaded is trusted only after ring_is_intact: until
 * then a length may be anything. */
static int load_header(RingReader *self, uint64_t position, uint64_t head_position,
                       ring_record_t *record)
{
    *record = ring_load_header(&self->ring, position);
    /* A position that is no record's beginning leads here: whoever holds it must start afresh. */
    if (!ring_is_intact(&self->ring, position) || record->payload_size > RING_PAYLOAD_BYTES_MAX ||
        ring_record_size(record->payload_size) > head_position - position) {
        raise_lapped(self, position);
        return -1;
    }
    return 0;
}

static PyObject *load_payload(RingReader *self, uint64_t position, uint32_t size)
{
    PyObject *payload = PyBytes_FromStringAndSize(NULL, size);
    if (payload == NULL)
        return NULL;
    ring_load_payload(&self->ring, position, PyBytes_AS_STRING(payload), size);
    if (ring_is_intact(&self->ring, position))
        return payload;
    Py_DECREF(payload);
    return raise_lapped(self, position);
}

/* Add the payload of the record at `position` where it is wanted. */
static int take_payload(RingReader *self, uint64_t position, uint32_t size, PyObject *needles,
                        PyObject *payloads)
{
    PyObject *payload = load_payload(self, position, size);
    if (payload == NULL)
        return -1;
    int result = 0;
    if (needles == NULL || is_wanted(payload, needles))
        result = PyList_Append(payloads, payload);
    Py_DECREF(payload);
    return result;
}

/* How far a follower is: in the ring, and in the book. */
typedef struct {
    uint64_t position;
    uint64_t position_seq; /* of the record before `position` */
    uint64_t seen_seq;     /* less than that where the record before is a stub */
    bool is_at_stub;
} place_t;

/* Take or pass over the record at place->position, and move past it. */
static int look_at(RingReader *self, place_t *place, uint64_t head_position, PyObject *needles,
                   PyObject *payloads)
{
    ring_record_t record;
    if (load_header(self, place->position, head_position, &record) < 0)
        return -1;
    if (record.seq > place->seen_seq) {
        place->is_at_stub = record.kind != RING_RECORD_ENTRY;
        if (!place->is_at_stub) {
            if (take_payload(self, place->position, record.payload_size, needles, payloads) < 0)
                return -1;
            place->seen_seq = record.seq;
        }
    }
    place->position += ring_record_size(record.payload_size);
    place->position_seq = record.seq;
    return 0;
}

/* What is wanted of up to `limit` records from place->position on, as far as the first stub that
 * was not seen. No object is made but the payloads. */
static PyObject *look_through(RingReader *self, place_t *place, Py_ssize_t limit,
                              PyObject *needles)
{
    ring_head_t head;
    ring_load_head(&self->ring, &head);
    if (place->position > head.position || place->position % 8 != 0 ||
        !ring_is_intact(&self->ring, place->position))
        return raise_lapped(self, place->position);
    PyObject *payloads = PyList_New(0);
    if (payloads == NULL)
        return NULL;
    place->position_seq = head.seq; /* where there is nothing to look at */
    for (; place->position < head.position && limit > 0 && !place->is_at_stub; limit--) {
        if (look_at(self, place, head.position, needles, payloads) < 0) {
            Py_DECREF(payloads);
            return NULL;
        }
    }
    return payloads;
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

static int make_deadline(double timeout_s, struct timespec *deadline)
{
    if (!(timeout_s >= 0 && timeout_s <= 1e9)) {
        PyErr_SetString(PyExc_ValueError, "timeout_s must be in 0..1e9");
        return -1;
    }
    int64_t deadline_ns = hourbook_clock_ns(CLOCK_MONOTONIC) +
                          (int64_t)(timeout_s * HOURBOOK_BILLION);
    deadline->tv_sec = deadline_ns / HOURBOOK_BILLION;
    deadline->tv_nsec = deadline_ns % HOURBOOK_BILLION;
    return 0;
}

/* Sleep while the head's seq is `seen_seq`: 1 when it is another, 0 at the deadline, -1 on errors. */
static int sleep_until_news(RingReader *self, uint64_t seen_seq, const struct timespec *deadline)
{
    ring_head_t head;
    for (;;) {
        int error;
        /* No wake-up is lost: the kernel sleeps only while the futex still holds the publication
         * whose head we looked at, and compares under the lock that the waker takes. */
        uint64_t publication = ring_load_head(&self->ring, &head);
        if (head.seq != seen_seq)
            return 1;
        Py_BEGIN_ALLOW_THREADS
        error = futex_wait(&self->ring, publication, deadline);
        Py_END_ALLOW_THREADS
        if (error == ETIMEDOUT)
            return 0;
        if (error == EINTR && PyErr_CheckSignals() < 0)
            return -1;
        if (error != 0 && error != EINTR && error != EAGAIN) {
            errno = error;
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
    }
}

static PyObject *reader_wait(RingReader *self, PyObject *args)
{
    unsigned long long seen_seq;
    double timeout_s;
    struct timespec deadline;
    if (!PyArg_ParseTuple(args, "Kd:wait", &seen_seq, &timeout_s) ||
        make_deadline(timeout_s, &deadline) < 0)
        return NULL;
    int result = sleep_until_news(self, seen_seq, &deadline);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

/* A follower that wants little of a busy feed is woken in vain most of the time, and goes back to
 * sleep from here: in C that takes a tenth of what it takes once the interpreter is awake. */
static PyObject *read_from(RingReader *self, place_t *place, Py_ssize_t limit, PyObject *needles,
                           const struct timespec *deadline)
{
    for (;;) {
        PyObject *payloads = look_through(self, place, limit, needles);
        if (payloads == NULL)
            return NULL;
        int has_news = 0;
        if (deadline != NULL && PyList_GET_SIZE(payloads) == 0 && !place->is_at_stub)
            has_news = sleep_until_news(self, place->position_seq, deadline);
        if (has_news == 0)
            return Py_BuildValue("NKKK", payloads, (unsigned long long)place->seen_seq,
                                 (unsigned long long)place->position,
                                 (unsigned long long)place->position_seq);
        Py_DECREF(payloads);
        if (has_news < 0)
            return NULL;
    }
}

static PyObject *reader_read(RingReader *self, PyObject *args)
{
    unsigned long long position, seen_seq;
    Py_ssize_t limit;
    PyObject *needles = NULL;
    double timeout_s = 0;
    struct timespec deadline;
    if (!PyArg_ParseTuple(args, "KKn|Od:read", &position, &seen_seq, &limit, &needles,
                          &timeout_s) ||
        make_deadline(timeout_s, &deadline) < 0)
        return NULL;
    if (limit < 1) {
        PyErr_SetString(PyExc_ValueError, "limit must be >= 1");
        return NULL;
    }
    if (needles != NULL && check_needles(needles) < 0)
        return NULL;
    place_t place = {.position = position, .seen_seq = seen_seq};
    return read_from(self, &place, limit, needles, timeout_s > 0 ? &deadline : NULL);
}

static PyMethodDef reader_methods[] = {
    {"head", (PyCFunction)reader_head, METH_NOARGS,
     "head() -> (position, seq): where the next record will go, and the seq of the last."},
    {"tail", (PyCFunction)reader_tail, METH_NOARGS,
     "tail() -> position: of the oldest record that is still whole."},
    {"read", (PyCFunction)reader_read, METH_VARARGS,
     "read(position, seen_seq, limit, needles=(), timeout_s=0, /) -> (payloads, seen_seq,\n"
     "next_position, position_seq): of up to limit records from position on, those after seen_seq\n"
     "whose payload has one of each of the needles; how far that goes; and where to look next, and\n"
     "the seq before it. The first record without a payload, a stub, ends it: position_seq is then\n"
     "its seq, and seen_seq less than that. Sleeps while there is nothing, and goes on to look,\n"
     "until the time-out. Raises Lapped."},
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
