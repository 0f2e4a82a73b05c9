/* ClockBoundWriter: publishes into a segment of ClockBound's protocol, version 2 (80 bytes).
 *
 * Layout and rules: docs/PROTOCOL.md of github.com/aws/clock-bound. A 16-bit generation at byte 14 is
 * odd inside an update and never 0 once something was published; the 64 bytes from 16 on are what
 * it protects. The upstream client copies them between two looks at the generation.
 */
#include "atomics.h"
#include "core.h"

#define CLOCKBOUND_SIZE 80
#define CLOCKBOUND_VERSION 2
#define CLOCKBOUND_BODY_SIZE 64
#define CLOCKBOUND_VERSION_OFFSET 12
#define CLOCKBOUND_GENERATION_OFFSET 14
#define CLOCKBOUND_BODY_OFFSET 16

typedef struct {
    PyObject_HEAD
    Py_buffer view;
} ClockBoundWriter;

static uint16_t *half_word(const ClockBoundWriter *self, Py_ssize_t offset)
{
    return (uint16_t *)((char *)self->view.buf + offset);
}

static PyObject *writer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *buffer = only_argument("ClockBoundWriter", args, kwargs);
    if (buffer == NULL)
        return NULL;
    ClockBoundWriter *self = (ClockBoundWriter *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    if (PyObject_GetBuffer(buffer, &self->view, PyBUF_WRITABLE) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    if (self->view.len != CLOCKBOUND_SIZE || (uintptr_t)self->view.buf % sizeof(word_t) != 0) {
        PyErr_Format(PyExc_ValueError, "Expected %d aligned bytes", CLOCKBOUND_SIZE);
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void writer_dealloc(ClockBoundWriter *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyBuffer_Release(&self->view);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *writer_publish(ClockBoundWriter *self, PyObject *body)
{
    if (!PyBytes_Check(body) || PyBytes_GET_SIZE(body) != CLOCKBOUND_BODY_SIZE) {
        PyErr_Format(PyExc_TypeError, "Expected %d bytes", CLOCKBOUND_BODY_SIZE);
        return NULL;
    }
    uint16_t *generation = half_word(self, CLOCKBOUND_GENERATION_OFFSET);
    word_t *words = (word_t *)((char *)self->view.buf + CLOCKBOUND_BODY_OFFSET);
    uint64_t values[CLOCKBOUND_BODY_SIZE / sizeof(word_t)];
    memcpy(values, PyBytes_AS_STRING(body), sizeof values);
    uint16_t odd = __atomic_load_n(generation, __ATOMIC_RELAXED) | 1;

    __atomic_store_n(generation, odd, __ATOMIC_RELAXED);
    fence_release(); /* no word below is visible before odd is */
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        store_relaxed(&words[i], values[i]);
    __atomic_store_n(half_word(self, CLOCKBOUND_VERSION_OFFSET), (uint16_t)CLOCKBOUND_VERSION,
                     __ATOMIC_RELAXED);
    uint16_t even = (uint16_t)(odd + 1);
    if (even == 0) /* 0 says that nothing was ever published */
        even = 2;
    /* Release: who sees even sees every word above. */
    __atomic_store_n(generation, even, __ATOMIC_RELEASE);
    return PyLong_FromLong(even);
}

static PyObject *writer_generation(ClockBoundWriter *self, void *unused)
{
    uint16_t generation =
        __atomic_load_n(half_word(self, CLOCKBOUND_GENERATION_OFFSET), __ATOMIC_RELAXED);
    return PyLong_FromLong(generation);
}

static PyMethodDef writer_methods[] = {
    {"publish", (PyCFunction)writer_publish, METH_O,
     "publish(body, /) -> int: publish 64 bytes; return the generation that they have."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef writer_attributes[] = {
    {"generation", (getter)writer_generation, NULL, "The generation in the segment now.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot writer_slots[] = {
    {Py_tp_doc, "ClockBoundWriter(buffer): publishes into a ClockBound segment of 80 bytes."},
    {Py_tp_new, writer_new},
    {Py_tp_dealloc, writer_dealloc},
    {Py_tp_methods, writer_methods},
    {Py_tp_getset, writer_attributes},
    {0, NULL}};

PyType_Spec clockbound_writer_spec = {
    .name = "shm._core.ClockBoundWriter",
    .basicsize = sizeof(ClockBoundWriter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = writer_slots,
};
