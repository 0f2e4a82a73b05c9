/* A bounded table of rows: a dict for finding them, a circular list for putting them out.
 *
 * Rows are no containers to the garbage collector: what they hold was decoded from MessagePack and
 * never refers back. The dict stays untracked, however many rows it has.
 */
#include "store_rows.h"

#define WEIGHT_SHARE 8 /* of all the room, the most that one value may take */

static void row_dealloc(store_row *row)
{
    PyTypeObject *type = Py_TYPE(row);
    Py_XDECREF(row->key);
    Py_XDECREF(row->value);
    type->tp_free(row);
    Py_DECREF(type);
}

static PyType_Slot row_slots[] = {
    {Py_tp_doc, "What a StoreCache knows of one key."}, {Py_tp_dealloc, row_dealloc}, {0, NULL}};

PyType_Spec store_row_spec = {
    .name = "shm._core.StoreRow",
    .basicsize = sizeof(store_row),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = row_slots,
};

store_row *rows_find(const store_rows *rows, PyObject *key)
{
    return (store_row *)PyDict_GetItemWithError(rows->by_key, key);
}

void rows_clear(store_rows *rows)
{
    rows->hand = NULL;
    rows->bytes = rows->told = 0;
    PyDict_Clear(rows->by_key);
}

/* Take a row out; the dict may hold its last reference. */
static int forget(store_rows *rows, store_row *row)
{
    PyObject *key = Py_NewRef(row->key);
    row->before->after = row->after;
    row->after->before = row->before;
    if (rows->hand == row)
        rows->hand = row->after == row ? NULL : row->after;
    rows->bytes -= row->bytes;
    rows->told -= row->is_told;
    int result = PyDict_DelItem(rows->by_key, key);
    Py_DECREF(key);
    return result;
}

/* Second chance: what was used since the hand last came by stays for another round. */
static int make_room(store_rows *rows, Py_ssize_t bytes)
{
    while (rows->hand != NULL && (rows->bytes + bytes > rows->bytes_max ||
                                  PyDict_GET_SIZE(rows->by_key) >= rows->entries_max)) {
        store_row *row = rows->hand;
        rows->hand = row->after;
        if (row->was_used) {
            row->was_used = 0;
            continue;
        }
        rows->evictions++;
        if (forget(rows, row) < 0)
            return -1;
    }
    return 0;
}

static void link_behind_hand(store_rows *rows, store_row *row)
{
    store_row *next = rows->hand == NULL ? row : rows->hand;
    row->after = next;
    row->before = rows->hand == NULL ? row : next->before;
    row->before->after = row;
    next->before = row;
    rows->hand = next;
    rows->bytes += row->bytes;
    rows->told += row->is_told;
}

int rows_keep(store_rows *rows, const store_row *wanted)
{
    store_row *known = rows_find(rows, wanted->key);
    if (known == NULL && PyErr_Occurred())
        return -1;
    if (known != NULL && forget(rows, known) < 0)
        return -1;
    if (wanted->bytes > rows->bytes_max / WEIGHT_SHARE)
        return 0;
    if (make_room(rows, wanted->bytes) < 0)
        return -1;
    store_row *row = (store_row *)rows->row_type->tp_alloc(rows->row_type, 0);
    if (row == NULL)
        return -1;
    row->key = Py_NewRef(wanted->key);
    row->value = Py_XNewRef(wanted->value);
    row->counter = wanted->counter;
    row->expires_ns = wanted->expires_ns;
    row->bytes = wanted->bytes;
    row->bucket = wanted->bucket;
    row->shape = wanted->shape;
    row->is_told = row->has_news = wanted->is_told;
    int result = PyDict_SetItem(rows->by_key, row->key, (PyObject *)row);
    if (result == 0)
        link_behind_hand(rows, row);
    Py_DECREF(row);
    return result;
}

PyObject *rows_news(store_rows *rows, Py_ssize_t count)
{
    PyObject *keys = PyList_New(0);
    Py_ssize_t left = rows->told;
    store_row *row = rows->hand;
    while (keys != NULL && left > 0 && PyList_GET_SIZE(keys) < count) {
        left -= row->is_told;
        if (row->is_told && row->has_news) {
            row->has_news = 0;
            if (PyList_Append(keys, row->key) < 0)
                Py_CLEAR(keys);
        }
        row = row->after;
    }
    return keys;
}
