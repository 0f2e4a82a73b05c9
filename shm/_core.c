/* The module shm._core: the part of the shared segment that Python cannot do.
 *
 * A time page, a generation table and a feed ring, each with a reader that never writes and a
 * writer that is alone (locks are taken in shm/locks.py); and the cache that rests on the table.
 * Python offers neither atomic loads with an order nor futexes, and a clock read must cost what
 * time.time_ns() costs, and a cached value hardly more than one of a dict.
 *
 * This file is the wiring: types and constants. Each job has its own file.
 */
#include "core.h"

int take_segment(PyObject *object, int writable, Py_buffer *view)
{
    if (PyObject_GetBuffer(object, view, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0)
        return -1;
    if (view->len < SEGMENT_SIZE || ((uintptr_t)view->buf & 7) != 0) {
        PyErr_Format(PyExc_ValueError, "Expected an aligned buffer of %d bytes, got %zd",
                     SEGMENT_SIZE, view->len);
        PyBuffer_Release(view);
        return -1;
    }
    return 0;
}

PyObject *only_argument(const char *name, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) != 1 || (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0)) {
        PyErr_Format(PyExc_TypeError, "%s takes the buffer of a segment", name);
        return NULL;
    }
    return PyTuple_GET_ITEM(args, 0);
}

/* -- layout, for the test that compares it with shm/layout.py ---------------------------------- */

struct offset {
    const char *name;
    int bytes;
};

#define OFFSET_ROW(offset, name) {#name, offset},
static const struct offset header_offsets[] = {HEADER_WORDS(OFFSET_ROW){NULL, 0}};
static const struct offset page_offsets[] = {TIME_PAGE_WORDS(OFFSET_ROW){NULL, 0}};
static const struct offset ring_offsets[] = {RING_WORDS(OFFSET_ROW){NULL, 0}};

#define CONSTANT_ROW(name) {#name, name},
static const struct offset constants[] = {
    CONSTANT_ROW(SEGMENT_VERSION)
    CONSTANT_ROW(SEGMENT_SIZE)
    CONSTANT_ROW(SEGMENT_LIVE)
    CONSTANT_ROW(SEGMENT_CLOSED)
    CONSTANT_ROW(TIME_OFFSET)
    CONSTANT_ROW(TIME_SIZE)
    CONSTANT_ROW(TIME_SHADOW_OFFSET)
    CONSTANT_ROW(TIME_PAGE_SIZE)
    CONSTANT_ROW(GENERATIONS_OFFSET)
    CONSTANT_ROW(GENERATIONS_SIZE)
    CONSTANT_ROW(GENERATION_COUNT)
    CONSTANT_ROW(RING_OFFSET)
    CONSTANT_ROW(RING_SIZE)
    CONSTANT_ROW(RING_DATA_OFFSET)
    CONSTANT_ROW(RING_DATA_SIZE)
    CONSTANT_ROW(RING_PAYLOAD_BYTES_MAX)
    CONSTANT_ROW(RING_RECORD_HEADER_SIZE)
    CONSTANT_ROW(RING_RECORD_ENTRY)
    CONSTANT_ROW(RING_RECORD_STUB)
    {NULL, 0}};

static int add_offsets(PyObject *layout, const char *key, const struct offset *rows)
{
    PyObject *table = PyDict_New();
    if (table == NULL)
        return -1;
    for (; rows->name != NULL; rows++) {
        PyObject *bytes = PyLong_FromLong(rows->bytes);
        if (bytes == NULL || PyDict_SetItemString(table, rows->name, bytes) < 0) {
            Py_XDECREF(bytes);
            Py_DECREF(table);
            return -1;
        }
        Py_DECREF(bytes);
    }
    int result = PyDict_SetItemString(layout, key, table);
    Py_DECREF(table);
    return result;
}

static PyObject *core_layout(PyObject *module, PyObject *unused)
{
    PyObject *layout = PyDict_New();
    if (layout == NULL)
        return NULL;
    if (add_offsets(layout, "constants", constants) < 0 ||
        add_offsets(layout, "header", header_offsets) < 0 ||
        add_offsets(layout, "time_page", page_offsets) < 0 ||
        add_offsets(layout, "ring", ring_offsets) < 0) {
        Py_DECREF(layout);
        return NULL;
    }
    return layout;
}

static PyMethodDef core_functions[] = {
    {"layout", core_layout, METH_NOARGS,
     "Return the constants and byte offsets that this module was compiled with."},
    {NULL, NULL, 0, NULL}};

/* -- module ------------------------------------------------------------------------------------ */

static int core_exec(PyObject *module)
{
    core_state *state = PyModule_GetState(module);
    PyType_Spec *specs[] = {&time_reader_spec,       &time_page_writer_spec,
                            &generation_reader_spec, &generation_writer_spec,
                            &ring_reader_spec,       &ring_writer_spec,
                            &clockbound_writer_spec, &store_cache_spec};

    state->reading_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &reading_spec, NULL);
    if (state->reading_type == NULL || PyModule_AddType(module, state->reading_type) < 0)
        return -1;
    state->snapshot_type = PyStructSequence_NewType(&snapshot_desc);
    if (state->snapshot_type == NULL || PyModule_AddType(module, state->snapshot_type) < 0)
        return -1;
    state->lapped = PyErr_NewExceptionWithDoc(
        "shm._core.Lapped", "The ring has overwritten this position: read the database instead.",
        PyExc_LookupError, NULL);
    if (state->lapped == NULL || PyModule_AddObjectRef(module, "Lapped", state->lapped) < 0)
        return -1;
    state->store_row_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &store_row_spec, NULL);
    if (state->store_row_type == NULL)
        return -1;
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        PyObject *type = PyType_FromModuleAndSpec(module, specs[i], NULL);
        if (type == NULL)
            return -1;
        int result = PyModule_AddType(module, (PyTypeObject *)type);
        Py_DECREF(type);
        if (result < 0)
            return -1;
    }
    return 0;
}

static int core_traverse(PyObject *module, visitproc visit, void *arg)
{
    core_state *state = PyModule_GetState(module);
    Py_VISIT(state->reading_type);
    Py_VISIT(state->snapshot_type);
    Py_VISIT(state->lapped);
    Py_VISIT(state->store_row_type);
    return 0;
}

static int core_clear(PyObject *module)
{
    core_state *state = PyModule_GetState(module);
    Py_CLEAR(state->reading_type);
    Py_CLEAR(state->snapshot_type);
    Py_CLEAR(state->lapped);
    Py_CLEAR(state->store_row_type);
    return 0;
}

static void core_free(void *module) { core_clear(module); }

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL}};

static struct PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "shm._core",
    .m_doc = "The shared segment: time page, generation table, feed ring.",
    .m_size = sizeof(core_state),
    .m_methods = core_functions,
    .m_slots = core_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
    .m_free = core_free,
};

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&core_module); }
