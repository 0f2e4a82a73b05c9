/* TimePageWriter: the one process that publishes the time page. */
#include "core.h"
#include "time_page.h"

typedef struct {
    PyObject_HEAD
    Py_buffer view;
    word_t *page;
    enum page_condition condition;
    uint64_t current[TIME_PAGE_WORD_COUNT]; /* what readers have; seq 0 where there is none */
} TimePageWriter;

static PyObject *writer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *buffer = only_argument("TimePageWriter", args, kwargs);
    if (buffer == NULL)
        return NULL;
    TimePageWriter *self = (TimePageWriter *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    if (take_segment(buffer, 1, &self->view) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->page = segment_words(&self->view, TIME_OFFSET);
    self->condition = page_recover(self->page, self->current);
    return (PyObject *)self;
}

static void writer_dealloc(TimePageWriter *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyBuffer_Release(&self->view);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *writer_page(TimePageWriter *self, PyObject *unused)
{
    if (self->current[PAGE_seq] == 0)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize((const char *)self->current, TIME_PAGE_SIZE);
}

static PyObject *writer_publish(TimePageWriter *self, PyObject *const *args, Py_ssize_t count)
{
    uint64_t proposal[TIME_PAGE_WORD_COUNT];
    if (count != 2 || !PyBytes_Check(args[0]) || PyBytes_GET_SIZE(args[0]) != TIME_PAGE_SIZE) {
        PyErr_Format(PyExc_TypeError, "Expected %d bytes and a bool", TIME_PAGE_SIZE);
        return NULL;
    }
    int is_step = PyObject_IsTrue(args[1]);
    if (is_step < 0)
        return NULL;
    if (!is_step && self->current[PAGE_seq] == 0) {
        PyErr_SetString(PyExc_ValueError, "the first publication must be a step");
        return NULL;
    }
    memcpy(proposal, PyBytes_AS_STRING(args[0]), sizeof proposal);
    page_publish(self->page, self->current, proposal, is_step ? ANCHOR_STEP : ANCHOR_CONTINUE);
    return writer_page(self, NULL);
}

static PyObject *writer_condition(TimePageWriter *self, void *unused)
{
    static const char *const names[] = {"empty", "clean", "repaired", "torn"};
    return PyUnicode_FromString(names[self->condition]);
}

static PyMethodDef writer_methods[] = {
    {"page", (PyCFunction)writer_page, METH_NOARGS,
     "page() -> bytes | None: the page that readers have, None where there is none."},
    {"publish", (PyCFunction)(void (*)(void))writer_publish, METH_FASTCALL,
     "publish(proposal, is_step, /) -> bytes: anchor the proposal, publish, return the page."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef writer_attributes[] = {
    {"condition", (getter)writer_condition, NULL,
     "How the page was found: empty, clean, repaired or torn.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot writer_slots[] = {
    {Py_tp_doc, "TimePageWriter(buffer): repairs the page it finds, then publishes."},
    {Py_tp_new, writer_new},
    {Py_tp_dealloc, writer_dealloc},
    {Py_tp_methods, writer_methods},
    {Py_tp_getset, writer_attributes},
    {0, NULL}};

PyType_Spec time_page_writer_spec = {
    .name = "shm._core.TimePageWriter",
    .basicsize = sizeof(TimePageWriter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = writer_slots,
};
