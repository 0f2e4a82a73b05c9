/* The object behind `Reading`, made on the hot path of Clock.now(). */
#ifndef HOURBOOK_SHM_READING_H
#define HOURBOOK_SHM_READING_H

#include "core.h"

typedef struct {
    PyObject_HEAD
    int64_t time_ns;
    int64_t earliest_ns;
    int64_t latest_ns;
    int64_t sigma_ns;
    PyObject *status;
} reading_t;

static inline PyObject *reading_make(PyTypeObject *type, int64_t time_ns, int64_t earliest_ns,
                                     int64_t latest_ns, int64_t sigma_ns, PyObject *status)
{
    reading_t *reading = PyObject_New(reading_t, type); /* takes a reference to its heap type */
    if (reading == NULL)
        return NULL;
    reading->time_ns = time_ns;
    reading->earliest_ns = earliest_ns;
    reading->latest_ns = latest_ns;
    reading->sigma_ns = sigma_ns;
    reading->status = Py_NewRef(status);
    return (PyObject *)reading;
}

#endif
