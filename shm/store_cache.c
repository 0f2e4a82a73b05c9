/* StoreCache: values of the store, kept in the process that reads them, coherent with every writer.
 *
 * `get` serves a value that it has read before for as long as the counter of its bucket says that no
 * commit has touched it; otherwise it reads anew. The order is what makes it right (a model check of
 * all interleavings is among the tests): the counter is loaded *first*, then the database is read in
 * a transaction of its own, and what was found is kept only if the counter was even, and not 0. An
 * odd counter is never waited for. That a key is not there is kept, too.
 *
 * All that is Python's: `load(key)` reads the database, `inspect()` says which segment is in force,
 * `clock()` what time it is, `elsewhere` answers what is more than a plain get. Each may let other
 * threads in, fork, or call us again, so nothing borrowed is held across a call, and what was loaded
 * before another segment came is thrown away (`epoch`).
 *
 * **Which segment is in force.** Somebody may remove its file; then a writer makes another, and
 * nothing ever moves in the one that we have mapped. So a map is trusted for LEASE_NS only, counted
 * from before `inspect` looked, and a writer that begins in a segment which no writer used before
 * waits for twice as long before it acknowledges anything: the coarse clock, which costs next to
 * nothing, lags by up to 10 ms.
 */
#include <time.h>

#include "atomics.h"
#include "store_rows.h"

#define LEASE_NS 20000000
#define FAR_NS 100000000 /* a time limit further off is not reached within a lease */
#define LATENCY_BINS 32
#define NO_WRITER_YET 0 /* what a new table is full of; the writer may still be at an old one */

typedef struct {
    PyObject_HEAD
    Py_buffer view; /* no object: there is no segment in force */
    const word_t *table;
    const word_t *state;
    int64_t trusted_until_ns; /* CLOCK_MONOTONIC_COARSE */
    int64_t utc_ns;           /* by `clock`, when the lease began */
    uint64_t epoch;           /* rises when all rows are dropped */
    store_rows rows;
    uint32_t seed; /* crc32 of the namespace */
    uint64_t hits, misses;
    uint64_t latencies[LATENCY_BINS]; /* of misses, by the power of two of their nanoseconds */
    PyObject *load, *inspect, *clock, *elsewhere;
} StoreCache;

static int64_t time_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* zlib.crc32(bytes, seed): the reflected polynomial 0xEDB88320, four bits at a time. */
static uint32_t crc32_of(const char *bytes, Py_ssize_t size, uint32_t seed)
{
    static const uint32_t nibbles[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
        0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
        0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};
    uint32_t crc = ~seed;
    for (Py_ssize_t i = 0; i < size; i++) {
        crc ^= (uint8_t)bytes[i];
        crc = crc >> 4 ^ nibbles[crc & 15];
        crc = crc >> 4 ^ nibbles[crc & 15];
    }
    return ~crc;
}

/* -- the segment ------------------------------------------------------------------------------- */

static void forget_all(StoreCache *self)
{
    self->epoch++;
    rows_clear(&self->rows);
}

static void leave_segment(StoreCache *self)
{
    self->table = self->state = NULL;
    PyBuffer_Release(&self->view);
    forget_all(self);
}

static int use_segment(StoreCache *self, PyObject *buffer)
{
    Py_buffer view;
    if (take_segment(buffer, 0, &view) < 0)
        return -1;
    leave_segment(self);
    self->view = view;
    self->table = segment_words(&self->view, GENERATIONS_OFFSET);
    self->state = segment_words(&self->view, 0) + HEADER_state;
    return 0;
}

static int read_clock(StoreCache *self, int64_t *now_ns)
{
    PyObject *now = PyObject_CallNoArgs(self->clock);
    if (now == NULL)
        return -1;
    *now_ns = PyLong_AsLongLong(now);
    Py_DECREF(now);
    return *now_ns == -1 && PyErr_Occurred() ? -1 : 0;
}

/* Ask which segment is in force; 0, or -1 with an exception set. */
static int look_around(StoreCache *self, int64_t now_ns)
{
    PyObject *buffer = PyObject_CallNoArgs(self->inspect);
    if (buffer == NULL)
        return -1;
    int result = 0;
    if (buffer == Py_None)
        leave_segment(self);
    else if (buffer != self->view.obj)
        result = use_segment(self, buffer);
    Py_DECREF(buffer);
    if (result == 0)
        result = read_clock(self, &self->utc_ns);
    if (result == 0)
        self->trusted_until_ns = now_ns + LEASE_NS;
    return result;
}

static inline int is_live(const StoreCache *self)
{
    return self->table != NULL && load_relaxed(self->state) == SEGMENT_LIVE;
}

/* Odd where nothing may be kept: a commit is under way, or no tree is. Acquire: the read of the
 * database that follows is not done before this load. */
static inline uint64_t counter_of(const StoreCache *self, uint16_t bucket)
{
    return is_live(self) ? load_acquire(&self->table[bucket]) : 1;
}

/* -- reading anew ------------------------------------------------------------------------------ */

/* 1 where a key has outlived its time, 0 where not, -1 with an exception set. A clock that is set
 * forward shows with the next lease. */
static int is_expired(StoreCache *self, int64_t expires_ns)
{
    int64_t now_ns;
    if (expires_ns - FAR_NS > self->utc_ns)
        return 0;
    return read_clock(self, &now_ns) < 0 ? -1 : expires_ns <= now_ns;
}

/* The value of what is known of a key, or `fallback`. The caller holds what `row` points to. */
static PyObject *hand_out(StoreCache *self, const store_row *row, PyObject *fallback)
{
    if (row->value == NULL)
        return Py_NewRef(fallback);
    int expired = row->expires_ns == 0 ? 0 : is_expired(self, row->expires_ns);
    if (expired < 0)
        return NULL;
    if (expired)
        return Py_NewRef(fallback);
    return row->shape == VALUE_SHARED ? Py_NewRef(row->value)
                                      : value_fresh_copy(row->value, row->shape);
}

static void count_miss(StoreCache *self, int64_t took_ns)
{
    int bin = took_ns <= 0 ? 0 : 64 - __builtin_clzll((unsigned long long)took_ns);
    self->misses++;
    self->latencies[bin < LATENCY_BINS ? bin : LATENCY_BINS - 1]++;
}

/* Take what `load` returned, None or (value, expires_ns), and a third member where others want to
 * know of uses, into a row that borrows; 0, or -1. */
static int take_found(PyObject *found, store_row *row)
{
    value_shape shape;
    if (found == Py_None)
        return 0;
    Py_ssize_t size = PyTuple_CheckExact(found) ? PyTuple_GET_SIZE(found) : 0;
    if (size != 2 && size != 3) {
        PyErr_SetString(PyExc_TypeError, "Expected None or (value, expires_ns) of `load`");
        return -1;
    }
    row->is_told = size == 3;
    row->expires_ns = PyLong_AsLongLong(PyTuple_GET_ITEM(found, 1));
    if (row->expires_ns == -1 && PyErr_Occurred())
        return -1;
    row->value = PyTuple_GET_ITEM(found, 0);
    Py_ssize_t bytes = value_weigh(row->value, &shape);
    if (bytes < 0)
        return -1;
    row->bytes += bytes;
    row->shape = (uint8_t)shape;
    return 0;
}

static PyObject *read_anew(StoreCache *self, PyObject *key, PyObject *fallback)
{
    int64_t started_ns = time_of(CLOCK_MONOTONIC);
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(key, &size);
    if (text == NULL) { /* a lone surrogate: `load` has the words for it */
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
            return NULL;
        PyErr_Clear();
        text = "";
        size = 0;
    }
    if (!is_live(self)) /* the next tree may go on from another book: a backup was restored */
        forget_all(self);
    store_row row = {.key = key, .bytes = size + (Py_ssize_t)sizeof(store_row)};
    uint64_t epoch = self->epoch;
    row.bucket = crc32_of(text, size, self->seed) & (GENERATION_COUNT - 1);
    row.counter = counter_of(self, row.bucket);
    PyObject *found = PyObject_CallOneArg(self->load, key);
    if (found == NULL)
        return NULL;
    PyObject *result = NULL;
    if (take_found(found, &row) == 0) {
        int may_keep = row.counter != NO_WRITER_YET && (row.counter & 1) == 0 &&
                       epoch == self->epoch;
        if (!may_keep || rows_keep(&self->rows, &row) == 0)
            result = hand_out(self, &row, fallback);
    }
    Py_DECREF(found);
    count_miss(self, time_of(CLOCK_MONOTONIC) - started_ns);
    return result;
}

/* -- methods ----------------------------------------------------------------------------------- */

static PyObject *cache_get(StoreCache *self, PyObject *const *args, Py_ssize_t count,
                           PyObject *names)
{
    if (names != NULL || count < 1 || count > 2 || !PyUnicode_CheckExact(args[0]))
        return PyObject_Vectorcall(self->elsewhere, args, count, names);
    PyObject *fallback = count == 2 ? args[1] : Py_None;
    int64_t now_ns = time_of(CLOCK_MONOTONIC_COARSE);
    if (__builtin_expect(now_ns >= self->trusted_until_ns, 0) && look_around(self, now_ns) < 0)
        return NULL;
    store_row *row = rows_find(&self->rows, args[0]);
    if (row == NULL && PyErr_Occurred())
        return NULL;
    if (row == NULL || row->counter != counter_of(self, row->bucket))
        return read_anew(self, args[0], fallback);
    self->hits++;
    row->was_used = row->has_news = 1;
    if (row->value != NULL && row->expires_ns == 0 && row->shape == VALUE_SHARED)
        return Py_NewRef(row->value);
    Py_INCREF(row); /* the clock, and the collector where a copy is made, may let others in */
    PyObject *result = hand_out(self, row, fallback);
    Py_DECREF(row);
    return result;
}

static PyObject *cache_clear(StoreCache *self, PyObject *unused)
{
    leave_segment(self);
    self->trusted_until_ns = 0;
    Py_RETURN_NONE;
}

static PyObject *cache_news(StoreCache *self, PyObject *count)
{
    Py_ssize_t most = PyLong_AsSsize_t(count);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    return rows_news(&self->rows, most);
}

static PyObject *cache_figures(StoreCache *self, PyObject *unused)
{
    PyObject *latencies = PyList_New(LATENCY_BINS);
    if (latencies == NULL)
        return NULL;
    for (int i = 0; i < LATENCY_BINS; i++) {
        PyObject *count = PyLong_FromUnsignedLongLong(self->latencies[i]);
        if (count == NULL) {
            Py_DECREF(latencies);
            return NULL;
        }
        PyList_SET_ITEM(latencies, i, count);
    }
    return Py_BuildValue("(KKKnnN)", (unsigned long long)self->hits,
                         (unsigned long long)self->misses,
                         (unsigned long long)self->rows.evictions,
                         PyDict_GET_SIZE(self->rows.by_key), self->rows.bytes, latencies);
}

/* -- life -------------------------------------------------------------------------------------- */

static PyObject *cache_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"namespace",   "load",      "inspect", "clock", "elsewhere",
                            "entries_max", "bytes_max", NULL};
    const char *namespace;
    Py_ssize_t size, entries_max, bytes_max;
    PyObject *load, *inspect, *clock, *elsewhere;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s#OOOOnn:StoreCache", names, &namespace, &size,
                                     &load, &inspect, &clock, &elsewhere, &entries_max,
                                     &bytes_max))
        return NULL;
    if (entries_max < 1 || bytes_max < 1) {
        PyErr_SetString(PyExc_ValueError, "Expected `entries_max` and `bytes_max` of at least 1");
        return NULL;
    }
    core_state *state = PyType_GetModuleState(type);
    PyObject *by_key = PyDict_New();
    if (by_key == NULL)
        return NULL;
    StoreCache *self = (StoreCache *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_DECREF(by_key);
        return NULL;
    }
    self->rows.by_key = by_key;
    self->rows.row_type = (PyTypeObject *)Py_NewRef(state->store_row_type);
    self->rows.entries_max = entries_max;
    self->rows.bytes_max = bytes_max;
    self->seed = crc32_of(namespace, size, 0);
    self->load = Py_NewRef(load);
    self->inspect = Py_NewRef(inspect);
    self->clock = Py_NewRef(clock);
    self->elsewhere = Py_NewRef(elsewhere);
    return (PyObject *)self;
}

static int cache_traverse(StoreCache *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->view.obj);
    Py_VISIT(self->rows.by_key);
    Py_VISIT(self->rows.row_type);
    Py_VISIT(self->load);
    Py_VISIT(self->inspect);
    Py_VISIT(self->clock);
    Py_VISIT(self->elsewhere);
    return 0;
}

/* What we call closes cycles, through the Store that owns us. None in its place can be called
 * without harm by whoever still has our `get`. */
static int cache_unlink(StoreCache *self)
{
    Py_XSETREF(self->load, Py_NewRef(Py_None));
    Py_XSETREF(self->inspect, Py_NewRef(Py_None));
    Py_XSETREF(self->clock, Py_NewRef(Py_None));
    Py_XSETREF(self->elsewhere, Py_NewRef(Py_None));
    return 0;
}

static void cache_dealloc(StoreCache *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->rows.by_key);
    Py_CLEAR(self->rows.row_type);
    Py_CLEAR(self->load);
    Py_CLEAR(self->inspect);
    Py_CLEAR(self->clock);
    Py_CLEAR(self->elsewhere);
    PyBuffer_Release(&self->view);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef cache_methods[] = {
    {"get", (PyCFunction)(void (*)(void))cache_get, METH_FASTCALL | METH_KEYWORDS,
     "get($self, key, default=None, *, version=None, at=None)\n--\n\n"
     "Return what the store holds under a key, the caller's own copy; `default`: it is absent.\n\n"
     "With `version` what it held at that version, with `at` as of a seq, a time or a hash: then\n"
     "`elsewhere` answers. hourbook.faces.store.Getter has the errors."},
    {"clear", (PyCFunction)cache_clear, METH_NOARGS,
     "clear(): forget everything, and look at the next get which segment is in force."},
    {"news", (PyCFunction)cache_news, METH_O,
     "news(count, /) -> list of keys that were used, of those that others want to know of."},
    {"figures", (PyCFunction)cache_figures, METH_NOARGS,
     "figures() -> (hits, misses, evictions, entries, bytes, latencies): since the beginning; how\n"
     "many misses took less than 1, 2, 4, 8 ... ns, each counted once."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot cache_slots[] = {
    {Py_tp_doc, "StoreCache(namespace, load, inspect, clock, elsewhere, entries_max, bytes_max)"},
    {Py_tp_new, cache_new},
    {Py_tp_dealloc, cache_dealloc},
    {Py_tp_traverse, cache_traverse},
    {Py_tp_clear, cache_unlink},
    {Py_tp_methods, cache_methods},
    {0, NULL}};

PyType_Spec store_cache_spec = {
    .name = "shm._core.StoreCache",
    .basicsize = sizeof(StoreCache),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = cache_slots,
};
