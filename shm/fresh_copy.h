/* Values that were read from MessagePack: what they weigh, and copies that share nothing mutable. */
#ifndef HOURBOOK_SHM_FRESH_COPY_H
#define HOURBOOK_SHM_FRESH_COPY_H

#include "core.h"

/* How a value is handed out again. */
typedef enum {
    VALUE_SHARED, /* nobody can change it: the object itself */
    VALUE_FLAT,   /* a dict or list of such objects: one shallow copy */
    VALUE_NESTED, /* a dict or list that holds others */
} value_shape;

/* Set the shape of a value; return what it weighs in memory, nearly (bytes), -1 with an exception
 * set where it is nested deeper than the interpreter follows. */
Py_ssize_t value_weigh(PyObject *value, value_shape *shape);

/* Return a value of the caller's own, NULL with an exception set. */
PyObject *value_fresh_copy(PyObject *value, value_shape shape);

#endif
