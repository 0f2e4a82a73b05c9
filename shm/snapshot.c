/* The named tuple `Snapshot`: what a reading says, how old it is, and every field of the page.
 *
 * A field of the page is a word or a part of one; the table says which, in the order of the tuple.
 */
#include "snapshot.h"

enum part { WHOLE, SIGNED, ASCII, LOW, HIGH, SIGNED_LOW, SIGNED_HIGH, FLAGS, STATUS };

struct page_field {
    enum page_word word;
    enum part part;
    const char *name;
    const char *doc;
};

#define PAGE_FIELDS(X)                                                                            \
    X(seq, WHOLE, "seq", "even number of the page; rises by two with each publication")           \
    X(state, HIGH, "epoch", "rises with each step; output is monotonic within one epoch")         \
    X(state, FLAGS, "flags", "bits of shm.layout.Flag")                                           \
    X(state, STATUS, "published_status", "number of the status before age was looked at")         \
    X(as_of_raw_ns, SIGNED, "as_of_raw_ns", "RAW at which the page's line begins")                \
    X(utc_at_as_of_ns, SIGNED, "utc_at_as_of_ns", "the output then")                              \
    X(rate, SIGNED, "rate", "(dUTC/dRAW - 1) * 2^48")                                             \
    X(slew_ppb, SIGNED, "slew_ppb", "added to the rate until slew_end_raw_ns")                    \
    X(slew_end_raw_ns, SIGNED, "slew_end_raw_ns", "RAW at which the slew ends")                   \
    X(void_after_raw_ns, SIGNED, "void_after_raw_ns", "RAW from which the status is UNKNOWN")     \
    X(earliest_off_ns, SIGNED, "earliest_off_ns", "hard bound about the output at as_of")         \
    X(latest_off_ns, SIGNED, "latest_off_ns", "hard bound about the output at as_of")             \
    X(growth_ppb, SIGNED, "growth_ppb", "of the hard interval, on each side, with age")           \
    X(sigma_offset_ns, SIGNED, "sigma_offset_ns", "one sigma of the offset at as_of")             \
    X(sigma_rate_ppb, SIGNED, "sigma_rate_ppb", "one sigma of the rate")                          \
    X(q68_ns, SIGNED, "q68_ns", "half-width that holds 68 % of the next measurements")            \
    X(q95_ns, SIGNED, "q95_ns", "half-width that holds 95 % of the next measurements")            \
    X(published_raw_ns, SIGNED, "published_raw_ns", "RAW at which the publication was decided")   \
    X(last_sample_raw_ns, SIGNED, "last_sample_raw_ns", "RAW of the last accepted sample")        \
    X(poll_ns, SIGNED, "poll_ns", "interval between samples")                                     \
    X(boottime_minus_monotonic_ns, SIGNED, "boottime_minus_monotonic_ns",                         \
      "time spent in suspend when the page was written")                                          \
    X(vmclock_marker, WHOLE, "vmclock_marker", "disruption marker of /dev/vmclock0, 0 without")   \
    X(last_step_raw_ns, SIGNED, "last_step_raw_ns", "RAW at which the epoch began")               \
    X(steps, WHOLE, "steps", "epochs begun after the first")                                      \
    X(disruptions, WHOLE, "disruptions", "times that the history was thrown away")                \
    X(source, ASCII, "source", "where time comes from: ntp, kernel, asserted, none")              \
    X(sources, LOW, "sources_selected", "sources that vote")                                      \
    X(sources, HIGH, "sources_total", "sources configured")                                       \
    X(confidence_ppm, WHOLE, "confidence_ppm", "confidence of the estimate, in millionths")       \
    X(samples, WHOLE, "samples", "accepted samples")                                              \
    X(publications, WHOLE, "publications", "pages published")                                     \
    X(leap_utc_s, SIGNED, "leap_utc_s", "first UTC second after the next leap event, 0 for none") \
    X(leap_tai_s, SIGNED_LOW, "leap_tai_before_s", "TAI - UTC before it, 0 where unknown")        \
    X(leap_tai_s, SIGNED_HIGH, "leap_tai_after_s", "TAI - UTC after it")                          \
    X(leap_smear, LOW, "leap_smear_kind", "0 none, 1 linear, 2 cosine, 3 another")                \
    X(leap_smear, HIGH, "leap_smear_length_s", "length of the smear")                             \
    X(bound_violations, WHOLE, "bound_violations", "hard intervals that missed the one before")

#define FIELD_ROW(word, part, name, doc) {PAGE_##word, part, name, doc},
static const struct page_field page_fields[] = {PAGE_FIELDS(FIELD_ROW)};

#define DESC_ROW(word, part, name, doc) {name, doc},
static PyStructSequence_Field snapshot_fields[] = {
    {"time_ns", "UTC now, nanoseconds since 1970"},
    {"earliest_ns", "UTC is not earlier; -2^63 where unbounded"},
    {"latest_ns", "UTC is not later; 2^63 - 1 where unbounded"},
    {"sigma_ns", "one sigma of the estimate"},
    {"status", "shm.layout.Status, recomputed from age"},
    {"raw_ns", "CLOCK_MONOTONIC_RAW at this snapshot"},
    {"age_ns", "since the last publication; -1 before the first"},
    {"sample_age_ns", "since the last accepted sample; -1 before the first publication"},
    {"is_stale", "the publisher is stuck in an update, and this is the page before it"},
    {"is_suspended", "the machine slept since the page was written"},
    PAGE_FIELDS(DESC_ROW)
    {NULL, NULL}};

enum { FIELDS_BEFORE_PAGE = 10 };

PyStructSequence_Desc snapshot_desc = {
    .name = "shm._core.Snapshot",
    .doc = "Everything that the time page says, and what follows from it at one instant.",
    .fields = snapshot_fields,
    .n_in_sequence = sizeof snapshot_fields / sizeof *snapshot_fields - 1,
};

static PyObject *ascii_of(uint64_t word)
{
    char text[8];
    size_t size = 0;
    memcpy(text, &word, sizeof text);
    while (size < sizeof text && text[size] != 0)
        size++;
    return PyUnicode_DecodeASCII(text, (Py_ssize_t)size, "replace");
}

static PyObject *part_of(uint64_t word, enum part part)
{
    switch (part) {
    case WHOLE:
        return PyLong_FromUnsignedLongLong(word);
    case SIGNED:
        return PyLong_FromLongLong((int64_t)word);
    case LOW:
        return PyLong_FromUnsignedLong((uint32_t)word);
    case HIGH:
        return PyLong_FromUnsignedLong((uint32_t)(word >> 32));
    case SIGNED_LOW:
        return PyLong_FromLong((int32_t)(uint32_t)word);
    case SIGNED_HIGH:
        return PyLong_FromLong((int32_t)(uint32_t)(word >> 32));
    case FLAGS:
        return PyLong_FromUnsignedLong(STATE_FLAGS(word));
    case STATUS:
        return PyLong_FromUnsignedLong(STATE_STATUS(word));
    case ASCII:
        return ascii_of(word);
    }
    Py_UNREACHABLE();
}

static PyObject *age_of(const hourbook_look *look, enum page_word word)
{
    if (look->kind == HOURBOOK_PAGE_NONE)
        return PyLong_FromLong(-1);
    hourbook_wide age = (hourbook_wide)look->now_raw_ns - (int64_t)look->page[word];
    return PyLong_FromLongLong(hourbook_saturate(age));
}

PyObject *snapshot_new(PyTypeObject *type, PyObject *statuses, const hourbook_look *look)
{
    int64_t earliest_ns, latest_ns;
    PyObject *snapshot = PyStructSequence_New(type);
    if (snapshot == NULL)
        return NULL;
    hourbook_look_interval(look, &earliest_ns, &latest_ns);
    PyObject *derived[FIELDS_BEFORE_PAGE] = {
        PyLong_FromLongLong(hourbook_look_time_ns(look)),
        PyLong_FromLongLong(earliest_ns),
        PyLong_FromLongLong(latest_ns),
        PyLong_FromLongLong(hourbook_look_sigma_ns(look)),
        Py_NewRef(PyTuple_GET_ITEM(statuses, hourbook_look_status(look))),
        PyLong_FromLongLong(look->raw_ns),
        age_of(look, PAGE_published_raw_ns),
        age_of(look, PAGE_last_sample_raw_ns),
        PyBool_FromLong(look->kind == HOURBOOK_PAGE_STALE),
        PyBool_FromLong(look->suspended),
    };
    for (int i = 0; i < FIELDS_BEFORE_PAGE; i++)
        PyStructSequence_SET_ITEM(snapshot, i, derived[i]);
    for (size_t i = 0; i < sizeof page_fields / sizeof *page_fields; i++) {
        const struct page_field *field = &page_fields[i];
        PyStructSequence_SET_ITEM(snapshot, FIELDS_BEFORE_PAGE + (Py_ssize_t)i,
                                  part_of(look->page[field->word], field->part));
    }
    if (PyErr_Occurred())
        Py_CLEAR(snapshot);
    return snapshot;
}
