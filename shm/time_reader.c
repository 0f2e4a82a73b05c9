/* TimeReader: the clock as every agent reads it. It never writes to the map and never waits for
 * anybody longer than HOURBOOK_PATIENCE_NS.
 *
 * The hot path is hourbook_page_read and one line of arithmetic. Only when the page is old, closed or
 * empty does a reader ask, at most once a second, whether another segment has taken its place.
 */
#include "atomics.h"
#include "reading.h"
#include "snapshot.h"

#define REFRESH_PERIOD_NS 1000000000
#define AHEAD_S_MAX 1e9

typedef struct {
    PyObject_HEAD
    Py_buffer view;
    const uint64_t *page;
    const word_t *header_state;
    uint64_t stuck_seq;
    int64_t next_refresh_raw_ns;
    PyObject *statuses; /* tuple: what a reading says for each hourbook_status */
    PyObject *refresh;  /* called without arguments; returns the buffer of a new segment, or None */
    PyTypeObject *reading_type;
    PyTypeObject *snapshot_type;
} TimeReader;

/* -- construction ------------------------------------------------------------------------------ */

static int use_segment(TimeReader *self, PyObject *buffer)
{
    Py_buffer view;
    if (take_segment(buffer, 0, &view) < 0)
        return -1;
    PyBuffer_Release(&self->view);
    self->view = view;
    self->page = (const uint64_t *)segment_words(&self->view, TIME_OFFSET);
    self->header_state = segment_words(&self->view, 0) + HEADER_state;
    self->stuck_seq = 0;
    return 0;
}

static PyObject *reader_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"buffer", "statuses", "refresh", NULL};
    PyObject *buffer, *statuses, *refresh;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO!O:TimeReader", names, &buffer,
                                     &PyTuple_Type, &statuses, &refresh))
        return NULL;
    if (PyTuple_GET_SIZE(statuses) != HOURBOOK_DISRUPTED + 1) {
        PyErr_SetString(PyExc_ValueError, "Expected `statuses` with 4 members");
        return NULL;
    }
    core_state *state = PyType_GetModuleState(type);
    TimeReader *self = (TimeReader *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->statuses = Py_NewRef(statuses);
    self->refresh = Py_NewRef(refresh);
    self->reading_type = (PyTypeObject *)Py_NewRef(state->reading_type);
    self->snapshot_type = (PyTypeObject *)Py_NewRef(state->snapshot_type);
    if (use_segment(self, buffer) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int reader_traverse(TimeReader *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->view.obj);
    Py_VISIT(self->statuses);
    Py_VISIT(self->refresh);
    Py_VISIT(self->reading_type);
    Py_VISIT(self->snapshot_type);
    return 0;
}

/* `refresh` is what closes cycles, through the Clock that owns us; the map stays until the end. */
static int reader_clear(TimeReader *self)
{
    Py_CLEAR(self->refresh);
    return 0;
}

static void reader_dealloc(TimeReader *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->refresh);
    Py_CLEAR(self->statuses);
    Py_CLEAR(self->reading_type);
    Py_CLEAR(self->snapshot_type);
    PyBuffer_Release(&self->view);
    type->tp_free(self);
    Py_DECREF(type);
}

/* -- looking ----------------------------------------------------------------------------------- */

static inline bool is_outdated(const TimeReader *self, hourbook_page_kind kind,
                               const uint64_t *page, int64_t raw_ns)
{
    return kind == HOURBOOK_PAGE_NONE || hourbook_line_age(page, raw_ns) > HOURBOOK_FRESH_NS ||
           load_relaxed(self->header_state) != SEGMENT_LIVE;
}

/* 1 when another segment is in use now, 0 when not, -1 with an exception set. */
static int refresh_segment(TimeReader *self, int64_t raw_ns)
{
    if (raw_ns < self->next_refresh_raw_ns || self->refresh == NULL)
        return 0;
    self->next_refresh_raw_ns = raw_ns + REFRESH_PERIOD_NS;
    PyObject *buffer = PyObject_CallNoArgs(self->refresh);
    if (buffer == NULL)
        return -1;
    int result = buffer == Py_None ? 0 : use_segment(self, buffer) < 0 ? -1 : 1;
    Py_DECREF(buffer);
    return result;
}

static int look_around(TimeReader *self, hourbook_look *look)
{
    int refreshed = 0;
    do {
        hourbook_look_at(self->page, look, &self->stuck_seq);
        if (refreshed || !is_outdated(self, look->kind, look->page, look->now_raw_ns))
            break;
        refreshed = refresh_segment(self, look->now_raw_ns);
    } while (refreshed == 1);
    return refreshed < 0 ? -1 : 0;
}

static PyObject *reading_of(TimeReader *self, const hourbook_look *look)
{
    int64_t earliest_ns, latest_ns;
    hourbook_look_interval(look, &earliest_ns, &latest_ns);
    return reading_make(self->reading_type, hourbook_look_time_ns(look), earliest_ns, latest_ns,
                        hourbook_look_sigma_ns(look),
                        PyTuple_GET_ITEM(self->statuses, hourbook_look_status(look)));
}

/* -- methods ----------------------------------------------------------------------------------- */

static PyObject *time_outdated(TimeReader *self)
{
    hourbook_look look;
    if (look_around(self, &look) < 0)
        return NULL;
    return PyLong_FromLongLong(hourbook_look_time_ns(&look));
}

static PyObject *reader_time_ns(TimeReader *self, PyObject *unused)
{
    uint64_t page[PAGE_state]; /* the words before it are all that a line needs */
    int64_t raw_ns;
    hourbook_page_kind kind =
        hourbook_page_read(self->page, page, PAGE_state, &raw_ns, &self->stuck_seq);
    if (__builtin_expect(is_outdated(self, kind, page, raw_ns), 0))
        return time_outdated(self);
    return PyLong_FromLongLong(hourbook_line_output(page, raw_ns));
}

static PyObject *reader_now(TimeReader *self, PyObject *unused)
{
    hourbook_look look;
    if (look_around(self, &look) < 0)
        return NULL;
    return reading_of(self, &look);
}

static PyObject *reader_at(TimeReader *self, PyObject *raw)
{
    hourbook_look look;
    int64_t raw_ns = PyLong_AsLongLong(raw);
    if (raw_ns == -1 && PyErr_Occurred())
        return NULL;
    if (look_around(self, &look) < 0)
        return NULL;
    look.raw_ns = raw_ns;
    return reading_of(self, &look);
}

static PyObject *reader_uncertainty_ns(TimeReader *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ahead_s", NULL};
    double ahead_s = 0;
    hourbook_look look;
    int64_t earliest_ns, latest_ns;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|d:uncertainty_ns", names, &ahead_s))
        return NULL;
    if (!(ahead_s >= 0 && ahead_s <= AHEAD_S_MAX)) {
        PyErr_SetString(PyExc_ValueError, "ahead_s must be in 0..1e9");
        return NULL;
    }
    if (look_around(self, &look) < 0)
        return NULL;
    look.raw_ns += (int64_t)(ahead_s * HOURBOOK_BILLION);
    hourbook_look_interval(&look, &earliest_ns, &latest_ns);
    if (earliest_ns == HOURBOOK_UNBOUNDED_EARLIEST || latest_ns == HOURBOOK_UNBOUNDED_LATEST)
        Py_RETURN_NONE;
    int64_t time_ns = hourbook_look_time_ns(&look);
    hourbook_wide before_ns = (hourbook_wide)time_ns - earliest_ns;
    hourbook_wide after_ns = (hourbook_wide)latest_ns - time_ns;
    return PyLong_FromLongLong(hourbook_saturate(before_ns > after_ns ? before_ns : after_ns));
}

static PyObject *reader_snapshot(TimeReader *self, PyObject *unused)
{
    hourbook_look look;
    if (look_around(self, &look) < 0)
        return NULL;
    return snapshot_new(self->snapshot_type, self->statuses, &look);
}

/* -- types ------------------------------------------------------------------------------------- */

static PyMethodDef reader_methods[] = {
    {"time_ns", (PyCFunction)reader_time_ns, METH_NOARGS,
     "time_ns() -> int: UTC in nanoseconds since 1970, monotonic within an epoch."},
    {"now", (PyCFunction)reader_now, METH_NOARGS,
     "now() -> Reading: UTC now, with its hard interval and status."},
    {"at", (PyCFunction)reader_at, METH_O,
     "at(raw_ns, /) -> Reading: UTC when CLOCK_MONOTONIC_RAW read raw_ns."},
    {"uncertainty_ns", (PyCFunction)(void (*)(void))reader_uncertainty_ns,
     METH_VARARGS | METH_KEYWORDS,
     "uncertainty_ns(ahead_s=0.0) -> int | None: how far UTC may be from time_ns() then."},
    {"snapshot", (PyCFunction)reader_snapshot, METH_NOARGS,
     "snapshot() -> Snapshot: every field of the page, and what follows from it now."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot reader_slots[] = {
    {Py_tp_doc, "TimeReader(buffer, statuses, refresh): the clock of one process."},
    {Py_tp_new, reader_new},
    {Py_tp_dealloc, reader_dealloc},
    {Py_tp_traverse, reader_traverse},
    {Py_tp_clear, reader_clear},
    {Py_tp_methods, reader_methods},
    {0, NULL}};

PyType_Spec time_reader_spec = {
    .name = "shm._core.TimeReader",
    .basicsize = sizeof(TimeReader),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = reader_slots,
};
