/* The generation table: one counter for each bucket of keys, odd while a commit that touches the
 * bucket is under way. Readers may serve a value from a cache of their own while its bucket's
 * counter is even and has not moved (the proof, and why simpler orders are wrong, is in the book's
 * design).
 */
#include "atomics.h"
#include "core.h"

typedef struct {
    PyObject_HEAD
    Py_buffer view;
    word_t *table;
} Generations;

static PyObject *generations_new(PyTypeObject *type, PyObject *buffer, int writable)
{
    if (buffer == NULL)
        return NULL;
    Generations *self = (Generations *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    if (take_segment(buffer, writable, &self->view) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->table = segment_words(&self->view, GENERATIONS_OFFSET);
    return (PyObject *)self;
}

static PyObject *reader_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return generations_new(type, only_argument("GenerationReader", args, kwargs), 0);
}

static PyObject *writer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return generations_new(type, only_argument("GenerationWriter", args, kwargs), 1);
}

static void generations_dealloc(Generations *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyBuffer_Release(&self->view);
    type->tp_free(self);
    Py_DECREF(type);
}

/* -1 with an exception set where the object is no bucket. */
static Py_ssize_t bucket_of(PyObject *object)
{
    Py_ssize_t bucket = PyLong_AsSsize_t(object);
    if (bucket == -1 && PyErr_Occurred())
        return -1;
    if (bucket < 0 || bucket >= GENERATION_COUNT) {
        PyErr_Format(PyExc_ValueError, "Expected a bucket in 0..%d, got %zd",
                     GENERATION_COUNT - 1, bucket);
        return -1;
    }
    return bucket;
}

static PyObject *generations_load(Generations *self, PyObject *object)
{
    Py_ssize_t bucket = bucket_of(object);
    if (bucket < 0)
        return NULL;
    /* Acquire: the SQLite read that may follow is not done before this load. */
    return PyLong_FromUnsignedLongLong(load_acquire(&self->table[bucket]));
}

/* Apply one operation to every bucket of a sequence, all of which are checked before any. */
static PyObject *for_each_bucket(Generations *self, PyObject *buckets, void (*change)(word_t *),
                                 void (*finish)(void))
{
    PyObject *items = PySequence_Fast(buckets, "Expected a sequence of buckets");
    if (items == NULL)
        return NULL;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(items);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (bucket_of(PySequence_Fast_GET_ITEM(items, i)) < 0) {
            Py_DECREF(items);
            return NULL;
        }
    }
    for (Py_ssize_t i = 0; i < count; i++)
        change(&self->table[PyLong_AsSsize_t(PySequence_Fast_GET_ITEM(items, i))]);
    if (finish != NULL)
        finish();
    Py_DECREF(items);
    Py_RETURN_NONE;
}

static void make_odd(word_t *counter) { store_relaxed(counter, load_relaxed(counter) | 1); }

/* Release: who sees even also sees everything that the commit wrote. */
static void make_even(word_t *counter)
{
    store_release(counter, (load_relaxed(counter) | 1) + 1);
}

/* Full fence: every counter is seen odd before the COMMIT that follows can be seen. A release would
 * order our stores among themselves but not against the loads and system calls of the commit. */
static PyObject *generations_begin(Generations *self, PyObject *buckets)
{
    return for_each_bucket(self, buckets, make_odd, fence_full);
}

static PyObject *generations_end(Generations *self, PyObject *buckets)
{
    return for_each_bucket(self, buckets, make_even, NULL);
}

/* A predecessor may have died with counters odd, and what it committed may be in nobody's cache:
 * every counter goes to an even value that it never had. */
static PyObject *generations_reset_all(Generations *self, PyObject *unused)
{
    for (int bucket = 0; bucket < GENERATION_COUNT; bucket++)
        make_even(&self->table[bucket]);
    fence_full();
    Py_RETURN_NONE;
}

static PyMethodDef reader_methods[] = {
    {"load", (PyCFunction)generations_load, METH_O,
     "load(bucket, /) -> int: the counter of a bucket, loaded with acquire."},
    {NULL, NULL, 0, NULL}};

static PyMethodDef writer_methods[] = {
    {"load", (PyCFunction)generations_load, METH_O,
     "load(bucket, /) -> int: the counter of a bucket."},
    {"begin", (PyCFunction)generations_begin, METH_O,
     "begin(buckets, /): make the counters odd, before the commit that touches their keys."},
    {"end", (PyCFunction)generations_end, METH_O,
     "end(buckets, /): make the counters even, after the commit or its rollback."},
    {"reset_all", (PyCFunction)generations_reset_all, METH_NOARGS,
     "reset_all(): raise every counter to a new even value, at the start of a writer."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot reader_slots[] = {
    {Py_tp_doc, "GenerationReader(buffer): the counters, for a process that caches."},
    {Py_tp_new, reader_new},
    {Py_tp_dealloc, generations_dealloc},
    {Py_tp_methods, reader_methods},
    {0, NULL}};

static PyType_Slot writer_slots[] = {
    {Py_tp_doc, "GenerationWriter(buffer): the counters, for the process that commits."},
    {Py_tp_new, writer_new},
    {Py_tp_dealloc, generations_dealloc},
    {Py_tp_methods, writer_methods},
    {0, NULL}};

PyType_Spec generation_reader_spec = {
    .name = "shm._core.GenerationReader",
    .basicsize = sizeof(Generations),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = reader_slots,
};

PyType_Spec generation_writer_spec = {
    .name = "shm._core.GenerationWriter",
    .basicsize = sizeof(Generations),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = writer_slots,
};
