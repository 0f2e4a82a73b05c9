/* Every field of the time page and what follows from it, as the named tuple `Snapshot`. */
#ifndef HOURBOOK_SHM_SNAPSHOT_H
#define HOURBOOK_SHM_SNAPSHOT_H

#include "core.h"

PyObject *snapshot_new(PyTypeObject *type, PyObject *statuses, const hourbook_look *look);

#endif
