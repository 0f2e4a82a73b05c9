/* Copies of decoded values. Assumes what a MessagePack decoder makes: dict and list are all that can
 * be changed, nothing holds itself, and keys of maps hold neither.
 *
 * A copy is made of whole objects (PyDict_Copy clones a table at once), so it costs a fraction of
 * decoding the same bytes again.
 */
#include "fresh_copy.h"

enum {
    /* Of CPython 3.11 on 64 bits; the sum need not be exact, only honest about what is large. */
    OBJECT_BYTES = 32,
    STRING_BYTES = 56,
    LIST_BYTES = 56,
    DICT_BYTES = 64,
    DICT_ITEM_BYTES = 48,
    POINTER_BYTES = 8,
};

static inline int is_container(PyObject *value)
{
    return PyDict_CheckExact(value) || PyList_CheckExact(value);
}

static Py_ssize_t weigh_plain(PyObject *value)
{
    if (PyUnicode_CheckExact(value))
        return STRING_BYTES + PyUnicode_GET_LENGTH(value) * PyUnicode_KIND(value);
    if (PyBytes_CheckExact(value))
        return OBJECT_BYTES + PyBytes_GET_SIZE(value);
    return OBJECT_BYTES;
}

/* Add a member of a container; 0, or -1 with an exception set. */
static int weigh_member(PyObject *member, Py_ssize_t *bytes, value_shape *shape)
{
    value_shape unused;
    if (!is_container(member)) {
        *bytes += weigh_plain(member);
        return 0;
    }
    *shape = VALUE_NESTED;
    Py_ssize_t more = value_weigh(member, &unused);
    *bytes += more;
    return more < 0 ? -1 : 0;
}

Py_ssize_t value_weigh(PyObject *value, value_shape *shape)
{
    if (!is_container(value)) {
        *shape = VALUE_SHARED;
        return weigh_plain(value);
    }
    *shape = VALUE_FLAT;
    if (Py_EnterRecursiveCall(" while weighing a value"))
        return -1;
    Py_ssize_t bytes;
    int failed = 0;
    if (PyDict_CheckExact(value)) {
        PyObject *name, *member;
        Py_ssize_t position = 0;
        bytes = DICT_BYTES + PyDict_GET_SIZE(value) * DICT_ITEM_BYTES;
        while (!failed && PyDict_Next(value, &position, &name, &member)) {
            bytes += weigh_plain(name);
            failed = weigh_member(member, &bytes, shape) < 0;
        }
    } else {
        Py_ssize_t count = PyList_GET_SIZE(value);
        bytes = LIST_BYTES + count * POINTER_BYTES;
        for (Py_ssize_t i = 0; !failed && i < count; i++)
            failed = weigh_member(PyList_GET_ITEM(value, i), &bytes, shape) < 0;
    }
    Py_LeaveRecursiveCall();
    return failed ? -1 : bytes;
}

static PyObject *copy_nested(PyObject *value);

static PyObject *copy_member(PyObject *member)
{
    return is_container(member) ? copy_nested(member) : Py_NewRef(member);
}

/* Walks the original while the values of the copy are replaced: no key is added, so the table of
 * the copy never moves. */
static PyObject *copy_dict(PyObject *value)
{
    PyObject *copy = PyDict_Copy(value), *name, *member;
    Py_ssize_t position = 0;
    if (copy == NULL)
        return NULL;
    while (PyDict_Next(value, &position, &name, &member)) {
        if (!is_container(member))
            continue;
        PyObject *own = copy_nested(member);
        if (own == NULL || PyDict_SetItem(copy, name, own) < 0) {
            Py_XDECREF(own);
            Py_DECREF(copy);
            return NULL;
        }
        Py_DECREF(own);
    }
    return copy;
}

static PyObject *copy_list(PyObject *value)
{
    Py_ssize_t count = PyList_GET_SIZE(value);
    PyObject *copy = PyList_New(count);
    if (copy == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *own = copy_member(PyList_GET_ITEM(value, i));
        if (own == NULL) {
            Py_DECREF(copy);
            return NULL;
        }
        PyList_SET_ITEM(copy, i, own);
    }
    return copy;
}

static PyObject *copy_nested(PyObject *value)
{
    if (Py_EnterRecursiveCall(" while copying a value"))
        return NULL;
    PyObject *copy = PyDict_CheckExact(value) ? copy_dict(value) : copy_list(value);
    Py_LeaveRecursiveCall();
    return copy;
}

PyObject *value_fresh_copy(PyObject *value, value_shape shape)
{
    switch (shape) {
    case VALUE_SHARED:
        return Py_NewRef(value);
    case VALUE_FLAT:
        if (PyDict_CheckExact(value))
            return PyDict_Copy(value);
        return PyList_GetSlice(value, 0, PyList_GET_SIZE(value));
    default:
        return copy_nested(value);
    }
}
