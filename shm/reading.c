/* The type `Reading`: what the clock knows of one instant.
 *
 * Five fields, immutable, comparable, hashable, picklable. It keeps C integers and makes Python ones
 * when asked: a named tuple would cost more than all of the clock reading behind it.
 */
#include "reading.h"

#include <stddef.h>
#include <structmember.h>

static PyObject *reading_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"time_ns", "earliest_ns", "latest_ns", "sigma_ns", "status", NULL};
    long long time_ns, earliest_ns, latest_ns, sigma_ns;
    PyObject *status;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "LLLLO:Reading", names, &time_ns, &earliest_ns,
                                     &latest_ns, &sigma_ns, &status))
        return NULL;
    if (!(earliest_ns <= time_ns && time_ns <= latest_ns)) {
        PyErr_SetString(PyExc_ValueError, "time_ns must be in earliest_ns..latest_ns");
        return NULL;
    }
    return reading_make(type, time_ns, earliest_ns, latest_ns, sigma_ns, status);
}

static void reading_dealloc(reading_t *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_CLEAR(self->status);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *reading_fields(const reading_t *self)
{
    return Py_BuildValue("LLLLO", (long long)self->time_ns, (long long)self->earliest_ns,
                         (long long)self->latest_ns, (long long)self->sigma_ns, self->status);
}

static PyObject *reading_reduce(reading_t *self, PyObject *unused)
{
    return Py_BuildValue("ON", Py_TYPE(self), reading_fields(self));
}

static PyObject *reading_repr(reading_t *self)
{
    return PyUnicode_FromFormat(
        "Reading(time_ns=%lld, earliest_ns=%lld, latest_ns=%lld, sigma_ns=%lld, status=%R)",
        (long long)self->time_ns, (long long)self->earliest_ns, (long long)self->latest_ns,
        (long long)self->sigma_ns, self->status);
}

static PyObject *reading_compare(reading_t *self, PyObject *other, int operation)
{
    /* Readings are intervals: which is earlier is a question with three answers (Clock.compare). */
    if (Py_TYPE(other) != Py_TYPE(self) || (operation != Py_EQ && operation != Py_NE))
        Py_RETURN_NOTIMPLEMENTED;
    PyObject *ours = reading_fields(self);
    PyObject *theirs = reading_fields((reading_t *)other);
    PyObject *result = NULL;
    if (ours != NULL && theirs != NULL)
        result = PyObject_RichCompare(ours, theirs, operation);
    Py_XDECREF(ours);
    Py_XDECREF(theirs);
    return result;
}

static Py_hash_t reading_hash(reading_t *self)
{
    PyObject *fields = reading_fields(self);
    if (fields == NULL)
        return -1;
    Py_hash_t hash = PyObject_Hash(fields);
    Py_DECREF(fields);
    return hash;
}

static PyMemberDef reading_members[] = {
    {"time_ns", T_LONGLONG, offsetof(reading_t, time_ns), READONLY,
     "UTC, nanoseconds since 1970; monotonic within an epoch."},
    {"earliest_ns", T_LONGLONG, offsetof(reading_t, earliest_ns), READONLY,
     "UTC is not earlier; -2^63 where unbounded."},
    {"latest_ns", T_LONGLONG, offsetof(reading_t, latest_ns), READONLY,
     "UTC is not later; 2^63 - 1 where unbounded."},
    {"sigma_ns", T_LONGLONG, offsetof(reading_t, sigma_ns), READONLY,
     "One sigma of the estimate; 2^63 - 1 where there is none."},
    {"status", T_OBJECT_EX, offsetof(reading_t, status), READONLY, "How far it can be trusted."},
    {NULL, 0, 0, 0, NULL}};

static PyMethodDef reading_methods[] = {
    {"__reduce__", (PyCFunction)reading_reduce, METH_NOARGS, "Support for pickle and copy."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot reading_slots[] = {
    {Py_tp_doc, "Reading(time_ns, earliest_ns, latest_ns, sigma_ns, status): one instant."},
    {Py_tp_new, reading_new},
    {Py_tp_dealloc, reading_dealloc},
    {Py_tp_members, reading_members},
    {Py_tp_methods, reading_methods},
    {Py_tp_repr, reading_repr},
    {Py_tp_richcompare, reading_compare},
    {Py_tp_hash, reading_hash},
    {0, NULL}};

PyType_Spec reading_spec = {
    .name = "shm._core.Reading",
    .basicsize = sizeof(reading_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = reading_slots,
};
