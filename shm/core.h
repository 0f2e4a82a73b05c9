/* What the files of the extension share: the module's state and the checks on a mapped segment. */
#ifndef HOURBOOK_SHM_CORE_H
#define HOURBOOK_SHM_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "layout.h"

/* One for each interpreter that imports the module: nothing is static but tables of constants. */
typedef struct {
    PyTypeObject *reading_type;
    PyTypeObject *snapshot_type;
    PyObject *lapped;
    PyTypeObject *store_row_type;
} core_state;

extern PyType_Spec reading_spec;
extern PyType_Spec time_reader_spec;
extern PyType_Spec time_page_writer_spec;
extern PyType_Spec generation_reader_spec;
extern PyType_Spec generation_writer_spec;
extern PyType_Spec ring_reader_spec;
extern PyType_Spec ring_writer_spec;
extern PyType_Spec clockbound_writer_spec;
extern PyType_Spec store_row_spec;
extern PyType_Spec store_cache_spec;

extern PyStructSequence_Desc snapshot_desc;

/* Take a buffer of a whole segment; 0, or -1 with an exception set. It is held until
 * PyBuffer_Release, so that a map cannot be closed under a reader. */
int take_segment(PyObject *object, int writable, Py_buffer *view);

static inline word_t *segment_words(const Py_buffer *view, Py_ssize_t offset)
{
    return (word_t *)((char *)view->buf + offset);
}

/* The one positional argument of a constructor, or NULL with TypeError set. */
PyObject *only_argument(const char *name, PyObject *args, PyObject *kwargs);

#endif
