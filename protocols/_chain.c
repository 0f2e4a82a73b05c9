/* One link of the chain: an entry's canonical bytes, its hash, and what is made of both.
 *
 * The writer does this for every entry, one after the other, since each hash is in the next. What
 * it keeps and what it shows begin with the bytes that it hashes; so they are encoded once. The
 * rules are those of protocols/entry.py, which says the same more slowly, and a test compares.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { SMALL = 1024, DIGEST = 32, ROW = 17, FORMAT = 1 };
enum { SEQ, TIME, BOUND, HLC, BRANCH, WRITER, SESSION, NONCE, KIND, ACTION, ENTITY, TAGS, SALT,
       DETAILS, PARENT, ARGUMENTS };

static const char DOMAIN[] = "hourbook/entry/1";

typedef struct {
    PyObject *sha256;
    PyObject *digest; /* the name of its method */
} state_t;

/* -- MessagePack, integers and lengths in their shortest form; -1 with an exception ------------- */

typedef struct {
    uint8_t *bytes;
    size_t size, room;
    uint8_t small[SMALL];
} output_t;

static void begin_output(output_t *output)
{
    output->bytes = output->small;
    output->size = 0;
    output->room = SMALL;
}

static void end_output(output_t *output)
{
    if (output->bytes != output->small)
        PyMem_Free(output->bytes);
}

static int put_bytes(output_t *output, const void *bytes, size_t size)
{
    if (output->room - output->size < size) {
        size_t room = 2 * (output->size + size);
        bool was_small = output->bytes == output->small;
        uint8_t *larger = PyMem_Realloc(was_small ? NULL : output->bytes, room);
        if (larger == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        if (was_small)
            memcpy(larger, output->small, output->size);
        output->bytes = larger;
        output->room = room;
    }
    memcpy(output->bytes + output->size, bytes, size);
    output->size += size;
    return 0;
}

/* A first byte and a big-endian number of `width` bytes. */
static int put_head(output_t *output, uint8_t first, uint64_t number, size_t width)
{
    uint8_t head[9] = {first};
    for (size_t i = width; i > 0; i--, number >>= 8)
        head[i] = (uint8_t)number;
    return put_bytes(output, head, 1 + width);
}

static int put_int(output_t *output, PyObject *value)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (number == -1 && PyErr_Occurred())
        return -1;
    if (overflow != 0) {
        PyErr_SetString(PyExc_OverflowError, "Expected an integer of 64 bits, with its sign");
        return -1;
    }
    if (number >= -32 && number <= INT8_MAX)
        return put_head(output, (uint8_t)number, 0, 0);
    uint64_t bits = (uint64_t)number;
    if (number >= 0) {
        int power = number <= UINT8_MAX ? 0 : number <= UINT16_MAX ? 1 : number <= UINT32_MAX ? 2 : 3;
        return put_head(output, 0xcc + power, bits, (size_t)1 << power);
    }
    int power = number >= INT8_MIN ? 0 : number >= INT16_MIN ? 1 : number >= INT32_MIN ? 2 : 3;
    return put_head(output, 0xd0 + power, bits, (size_t)1 << power);
}

static int put_text(output_t *output, PyObject *value)
{
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(value, &size);
    if (text == NULL)
        return -1;
    int head = size < 32            ? put_head(output, 0xa0 | (uint8_t)size, 0, 0)
               : size <= UINT8_MAX  ? put_head(output, 0xd9, size, 1)
               : size <= UINT16_MAX ? put_head(output, 0xda, size, 2)
                                    : put_head(output, 0xdb, size, 4);
    return head < 0 ? -1 : put_bytes(output, text, size);
}

static int put_binary(output_t *output, const void *bytes, size_t size)
{
    int head = size <= UINT8_MAX    ? put_head(output, 0xc4, size, 1)
               : size <= UINT16_MAX ? put_head(output, 0xc5, size, 2)
                                    : put_head(output, 0xc6, size, 4);
    return head < 0 ? -1 : put_bytes(output, bytes, size);
}

static int put_tags(output_t *output, PyObject *tags)
{
    if (!PyTuple_Check(tags) || PyTuple_GET_SIZE(tags) > UINT16_MAX) {
        PyErr_SetString(PyExc_TypeError, "Expected a tuple of at most 65535 tags");
        return -1;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(tags);
    int done = count < 16 ? put_head(output, 0x90 | (uint8_t)count, 0, 0)
                          : put_head(output, 0xdc, count, 2);
    for (Py_ssize_t i = 0; i < count && done == 0; i++)
        done = put_text(output, PyTuple_GET_ITEM(tags, i));
    return done;
}

/* -- the parts of a link ------------------------------------------------------------------------ */

static int hash_bytes(state_t *state, PyObject *bytes, uint8_t *digest)
{
    PyObject *hash = bytes == NULL ? NULL : PyObject_CallOneArg(state->sha256, bytes);
    PyObject *found = hash == NULL ? NULL : PyObject_CallMethodNoArgs(hash, state->digest);
    bool is_digest = found != NULL && PyBytes_Check(found) && PyBytes_GET_SIZE(found) == DIGEST;
    if (is_digest)
        memcpy(digest, PyBytes_AS_STRING(found), DIGEST);
    else if (found != NULL)
        PyErr_SetString(PyExc_SystemError, "Expected a digest of 32 bytes");
    Py_XDECREF(found);
    Py_XDECREF(hash);
    return is_digest ? 0 : -1;
}

/* Of one piece of bytes after another. */
static int hash_joined(state_t *state, const void *one, size_t one_size, const void *other,
                       size_t other_size, uint8_t *digest)
{
    PyObject *joined = PyBytes_FromStringAndSize(NULL, one_size + other_size);
    if (joined != NULL) {
        memcpy(PyBytes_AS_STRING(joined), one, one_size);
        memcpy(PyBytes_AS_STRING(joined) + one_size, other, other_size);
    }
    int done = hash_bytes(state, joined, digest);
    Py_XDECREF(joined);
    return done;
}

/* The fields from seq to tags, which the canonical bytes and the record have in common. */
static int put_common(output_t *output, PyObject *const *fields, const Py_buffer *nonce,
                      size_t *tags_at)
{
    for (int i = SEQ; i <= BRANCH; i++)
        if (put_int(output, fields[i]) < 0)
            return -1;
    if (put_text(output, fields[WRITER]) < 0 || put_text(output, fields[SESSION]) < 0 ||
        put_binary(output, nonce->buf, nonce->len) < 0 || put_text(output, fields[KIND]) < 0 ||
        put_text(output, fields[ACTION]) < 0 || put_text(output, fields[ENTITY]) < 0)
        return -1;
    *tags_at = output->size;
    return put_tags(output, fields[TAGS]);
}

static PyObject *row_of(PyObject *const *fields, PyObject *tags, PyObject *details, PyObject *hash)
{
    PyObject *rest[] = {tags, fields[SALT], details, Py_None, fields[PARENT], hash};
    PyObject *row = PyTuple_New(ROW);
    if (row == NULL)
        return NULL;
    for (int i = 0; i < ROW; i++)
        PyTuple_SET_ITEM(row, i, Py_NewRef(i < TAGS ? fields[i] : rest[i - TAGS]));
    return row;
}

/* `buffers`: of nonce, salt, details and parent. */
static PyObject *make_link(state_t *state, PyObject *const *fields, const Py_buffer *buffers,
                           output_t *canonical, output_t *record)
{
    const Py_buffer *nonce = &buffers[0], *salt = &buffers[1], *details = &buffers[2],
                    *parent = &buffers[3];
    uint8_t said[DIGEST], own[DIGEST];
    size_t tags_at;
    if (hash_joined(state, salt->buf, salt->len, details->buf, details->len, said) < 0 ||
        put_head(canonical, 0x9f, 0, 0) < 0 || put_head(canonical, FORMAT, 0, 0) < 0)
        return NULL;
    size_t common_at = canonical->size;
    if (put_common(canonical, fields, nonce, &tags_at) < 0)
        return NULL;
    size_t common_end = canonical->size;
    if (put_binary(canonical, said, DIGEST) < 0 ||
        put_binary(canonical, parent->buf, parent->len) < 0 ||
        hash_joined(state, DOMAIN, sizeof DOMAIN - 1, canonical->bytes, canonical->size, own) < 0)
        return NULL;
    if (put_head(record, 0xdc, ROW, 2) < 0 ||
        put_bytes(record, canonical->bytes + common_at, common_end - common_at) < 0 ||
        put_binary(record, salt->buf, salt->len) < 0 ||
        put_binary(record, details->buf, details->len) < 0 || put_head(record, 0xc0, 0, 0) < 0 ||
        put_binary(record, parent->buf, parent->len) < 0 || put_binary(record, own, DIGEST) < 0)
        return NULL;
    PyObject *tags = PyBytes_FromStringAndSize((char *)canonical->bytes + tags_at,
                                               common_end - tags_at);
    PyObject *raw = PyBytes_FromStringAndSize(details->buf, details->len);
    PyObject *hash = PyBytes_FromStringAndSize((char *)own, DIGEST);
    PyObject *shown = PyBytes_FromStringAndSize((char *)record->bytes, record->size);
    PyObject *row = NULL, *link = NULL;
    if (tags != NULL && raw != NULL && hash != NULL && shown != NULL)
        row = row_of(fields, tags, raw, hash);
    if (row != NULL)
        link = PyTuple_Pack(2, row, shown);
    Py_XDECREF(tags);
    Py_XDECREF(raw);
    Py_XDECREF(hash);
    Py_XDECREF(shown);
    Py_XDECREF(row);
    return link;
}

static PyObject *chain_link(PyObject *module, PyObject *const *fields, Py_ssize_t count)
{
    static const int BINARY[] = {NONCE, SALT, DETAILS, PARENT};
    Py_buffer buffers[4];
    output_t canonical, record;
    PyObject *link = NULL;
    int held = 0;
    if (count != ARGUMENTS) {
        PyErr_Format(PyExc_TypeError, "Expected %d fields, got %zd", ARGUMENTS, count);
        return NULL;
    }
    begin_output(&canonical);
    begin_output(&record);
    while (held < 4 && PyObject_GetBuffer(fields[BINARY[held]], &buffers[held], PyBUF_SIMPLE) == 0)
        held++;
    if (held == 4)
        link = make_link(PyModule_GetState(module), fields, buffers, &canonical, &record);
    while (held > 0)
        PyBuffer_Release(&buffers[--held]);
    end_output(&canonical);
    end_output(&record);
    return link;
}

static int fill(PyObject *module)
{
    state_t *state = PyModule_GetState(module);
    PyObject *hashlib = PyImport_ImportModule("hashlib");
    state->sha256 = hashlib == NULL ? NULL : PyObject_GetAttrString(hashlib, "sha256");
    state->digest = PyUnicode_InternFromString("digest");
    Py_XDECREF(hashlib);
    return state->sha256 == NULL || state->digest == NULL ? -1 : 0;
}

static int clear(PyObject *module)
{
    state_t *state = PyModule_GetState(module);
    Py_CLEAR(state->sha256);
    Py_CLEAR(state->digest);
    return 0;
}

static PyMethodDef METHODS[] = {
    {"link", (PyCFunction)(void (*)(void))chain_link, METH_FASTCALL,
     "link(seq, ..., parent, /) -> (row, record): see protocols/_chain.pyi."},
    {NULL}};

static PyModuleDef_Slot SLOTS[] = {{Py_mod_exec, fill}, {0, NULL}};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "protocols._chain",
    .m_size = sizeof(state_t),
    .m_methods = METHODS,
    .m_slots = SLOTS,
    .m_clear = clear,
};

PyMODINIT_FUNC PyInit__chain(void)
{
    return PyModuleDef_Init(&MODULE);
}
