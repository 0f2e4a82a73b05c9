/* The rows of a StoreCache: found by their key, and put out where room runs short. */
#ifndef HOURBOOK_SHM_STORE_ROWS_H
#define HOURBOOK_SHM_STORE_ROWS_H

#include "core.h"
#include "fresh_copy.h"

/* What is known of one key. A member of a circular list in which `hand` goes round. */
typedef struct store_row {
    PyObject_HEAD
    struct store_row *before, *after;
    PyObject *key;
    PyObject *value;    /* NULL: the key is not there */
    uint64_t counter;   /* of its bucket, loaded before the value was read; even */
    int64_t expires_ns; /* UTC; 0: never */
    Py_ssize_t bytes;
    uint16_t bucket;
    uint8_t shape;    /* a value_shape */
    uint8_t was_used; /* since the hand last came by */
    uint8_t is_told;  /* others want to know when it is used */
    uint8_t has_news; /* it was, since they were told last */
} store_row;

typedef struct {
    PyObject *by_key; /* dict */
    PyTypeObject *row_type;
    store_row *hand;
    Py_ssize_t bytes, bytes_max, entries_max;
    Py_ssize_t told; /* rows with is_told */
    uint64_t evictions;
} store_rows;

/* Return the row of a key, borrowed; NULL where there is none, or with an exception set. */
store_row *rows_find(const store_rows *rows, PyObject *key);

/* Keep what `row` says, in place of what was known of its key; 0, or -1 with an exception set. What
 * would take more than an eighth of the room is not kept. The list, `row`'s reference count and its
 * type are seen to here; its key and value are borrowed. */
int rows_keep(store_rows *rows, const store_row *row);

void rows_clear(store_rows *rows);

/* Return a list of up to `count` keys with news, which have none then; NULL with an exception. */
PyObject *rows_news(store_rows *rows, Py_ssize_t count);

#endif
