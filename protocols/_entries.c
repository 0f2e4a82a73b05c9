/* Decoding of entries, one after the other, that have much in common with the one before.
 *
 * Nine tenths of what it costs to follow a feed is making the objects that an entry is of, and most
 * of them were just made: an agent writes in its own name, of one kind, about few things, and what
 * is committed together has one time. So the encoding of a field is compared with the one before,
 * and where it is the same, so is the object. What is not as it is expected, byte by byte, is left
 * to whoever decodes everything: also to say what is wrong with it (protocols/entry_decoder.py).
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "protocols/msgpack.h"

enum { FIELDS_MAX = 32, MEMO_SIZE = 64 };

/* A field's encoding, and what it stands for. No value's encoding begins with another's, so what
 * begins with it is that value, whatever comes after. */
typedef struct {
    PyObject *value; /* NULL: none is kept */
    size_t size;
    uint8_t encoded[MEMO_SIZE];
} memo_t;

typedef struct {
    PyObject_HEAD
    PyObject *type;
    PyObject *otherwise;
    Py_ssize_t count;
    char kinds[FIELDS_MAX + 1];
    memo_t memos[FIELDS_MAX];
} Decoder;

/* -- values: NULL, with or without an exception, where the bytes are none of the kind ----------- */

static PyObject *decode_text(input_t *input)
{
    const uint8_t *text;
    size_t length;
    if (!take_text(input, &text, &length))
        return NULL;
    return PyUnicode_DecodeUTF8((const char *)text, length, NULL);
}

static PyObject *decode_bytes(input_t *input)
{
    const uint8_t *bytes;
    size_t length;
    if (!take_binary(input, &bytes, &length))
        return NULL;
    return PyBytes_FromStringAndSize((const char *)bytes, length);
}

static PyObject *decode_int(input_t *input)
{
    uint64_t bits;
    bool is_signed;
    if (!take_int(input, &bits, &is_signed))
        return NULL;
    return is_signed ? PyLong_FromLongLong((int64_t)bits) : PyLong_FromUnsignedLongLong(bits);
}

static PyObject *decode_texts(input_t *input)
{
    Py_ssize_t count = take_count(input);
    PyObject *texts = count < 0 ? NULL : PyTuple_New(count);
    for (Py_ssize_t i = 0; texts != NULL && i < count; i++) {
        PyObject *text = decode_text(input);
        if (text == NULL)
            Py_CLEAR(texts);
        else
            PyTuple_SET_ITEM(texts, i, text);
    }
    return texts;
}

static PyObject *decode_value(input_t *input, char kind)
{
    switch (kind) {
    case 'i':
        return decode_int(input);
    case 's':
        return decode_text(input);
    case 't':
        return decode_texts(input);
    case 'o':
        if (first_byte(input) == 0xc0) {
            input->at++;
            return Py_NewRef(Py_None);
        }
        return decode_bytes(input);
    default:
        return decode_bytes(input);
    }
}

/* -- entries ----------------------------------------------------------------------------------- */

/* Where to keep what was decoded: the hash of an entry is what the next one has in the field before,
 * and other bytes hardly ever come again. */
static memo_t *memo_of(Decoder *self, Py_ssize_t field)
{
    switch (self->kinds[field]) {
    case 'h':
        return &self->memos[field - 1];
    case 'b':
    case 'o':
        return NULL;
    default:
        return &self->memos[field];
    }
}

static PyObject *decode_field(Decoder *self, Py_ssize_t field, input_t *input)
{
    const memo_t *known = &self->memos[field];
    const uint8_t *begin = input->at;
    if (known->value != NULL && known->size <= (size_t)(input->end - begin) &&
        memcmp(begin, known->encoded, known->size) == 0) {
        input->at += known->size;
        return Py_NewRef(known->value);
    }
    PyObject *value = decode_value(input, self->kinds[field]);
    size_t size = input->at - begin;
    memo_t *memo = memo_of(self, field);
    if (value != NULL && memo != NULL && size <= MEMO_SIZE) {
        memcpy(memo->encoded, begin, size);
        memo->size = size;
        Py_XSETREF(memo->value, Py_NewRef(value));
    }
    return value;
}

static PyObject *decode_expected(Decoder *self, const uint8_t *bytes, size_t size)
{
    PyObject *fields[FIELDS_MAX], *entry = NULL;
    input_t input = {bytes, bytes + size};
    Py_ssize_t done = 0;
    if (take_count(&input) != self->count)
        return NULL;
    while (done < self->count && (fields[done] = decode_field(self, done, &input)) != NULL)
        done++;
    if (done == self->count && input.at == input.end)
        entry = PyObject_Vectorcall(self->type, fields, done, NULL);
    while (done > 0)
        Py_DECREF(fields[--done]);
    return entry;
}

static PyObject *decoder_decode(Decoder *self, PyObject *encoded)
{
    PyObject *entry = NULL;
    if (PyBytes_CheckExact(encoded))
        entry = decode_expected(self, (const uint8_t *)PyBytes_AS_STRING(encoded),
                                PyBytes_GET_SIZE(encoded));
    if (entry != NULL)
        return entry;
    PyErr_Clear();
    return PyObject_CallOneArg(self->otherwise, encoded);
}

static PyObject *decoder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"", "", "", NULL};
    PyObject *entry_type, *otherwise;
    const char *kinds;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OsO:Decoder", names, &entry_type, &kinds,
                                     &otherwise))
        return NULL;
    size_t count = strlen(kinds);
    const char *hash = strchr(kinds, 'h');
    bool is_fit = count <= FIELDS_MAX && strspn(kinds, "isbotph") == count;
    if (!is_fit || (hash != NULL && (hash == kinds || hash[-1] != 'p' || strchr(hash + 1, 'h')))) {
        PyErr_Format(PyExc_ValueError,
                     "Expected at most %d of i, s, t, b, o, p, and h after p, got %s", FIELDS_MAX,
                     kinds);
        return NULL;
    }
    Decoder *self = (Decoder *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->type = Py_NewRef(entry_type);
    self->otherwise = Py_NewRef(otherwise);
    self->count = count;
    memcpy(self->kinds, kinds, count);
    return (PyObject *)self;
}

static void decoder_dealloc(Decoder *self)
{
    PyTypeObject *type = Py_TYPE(self);
    for (Py_ssize_t i = 0; i < self->count; i++)
        Py_CLEAR(self->memos[i].value);
    Py_CLEAR(self->type);
    Py_CLEAR(self->otherwise);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef decoder_methods[] = {
    {"decode", (PyCFunction)decoder_decode, METH_O,
     "decode(encoded, /) -> entry: as `otherwise` decodes it."},
    {NULL}};

static PyType_Slot decoder_slots[] = {
    {Py_tp_doc, "Decoder(type, kinds, otherwise): see protocols/_entries.pyi."},
    {Py_tp_new, decoder_new},
    {Py_tp_dealloc, decoder_dealloc},
    {Py_tp_methods, decoder_methods},
    {0, NULL}};

static PyType_Spec decoder_spec = {
    .name = "protocols._entries.Decoder",
    .basicsize = sizeof(Decoder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = decoder_slots,
};

static int fill(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &decoder_spec, NULL);
    int result = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return result;
}

static PyModuleDef_Slot SLOTS[] = {{Py_mod_exec, fill}, {0, NULL}};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "protocols._entries",
    .m_slots = SLOTS,
};

PyMODINIT_FUNC PyInit__entries(void)
{
    return PyModuleDef_Init(&MODULE);
}
