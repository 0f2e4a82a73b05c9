/* How deep a MessagePack value nests, how many values it holds, and whether they are surely ones that
 * can be built, before anything is built of it.
 *
 * One pass without recursion over bytes that come from anybody: nothing is read beyond their end,
 * nothing is allocated, and what is not looked into (text, blobs) is stepped over whatever its
 * size. Whoever asks says what an answer means (protocols/wire.py).
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

enum { DEPTH_MAX = 32 };
enum answer { WHOLE, TOO_DEEP, TOO_MANY, TORN, NO_VALUE };

enum kind { OTHER, TEXT, CONTAINER, OWN };

/* What the first byte of a value says of the rest of it. */
struct head {
    uint8_t length_size; /* bytes that hold a length, or a count, big endian */
    uint8_t fixed;       /* bytes after them whatever they say */
    uint8_t inner;       /* values inside for each one counted; 0: no container */
    uint8_t kind;
};

static const struct head HEADS[32] = {                              /* of 0xc0 .. 0xdf */
    [0x04] = {1, 0, 0}, [0x05] = {2, 0, 0}, [0x06] = {4, 0, 0},     /* bin 8, 16, 32 */
    [0x07] = {1, 1, 0, OWN}, [0x08] = {2, 1, 0, OWN}, [0x09] = {4, 1, 0, OWN}, /* ext 8, 16, 32 */
    [0x0a] = {0, 4, 0}, [0x0b] = {0, 8, 0},                         /* float 32, 64 */
    [0x0c] = {0, 1, 0}, [0x0d] = {0, 2, 0}, [0x0e] = {0, 4, 0}, [0x0f] = {0, 8, 0}, /* uint */
    [0x10] = {0, 1, 0}, [0x11] = {0, 2, 0}, [0x12] = {0, 4, 0}, [0x13] = {0, 8, 0}, /* int */
    [0x14] = {0, 2, 0, OWN}, [0x15] = {0, 3, 0, OWN}, [0x16] = {0, 5, 0, OWN},      /* fixext */
    [0x17] = {0, 9, 0, OWN}, [0x18] = {0, 17, 0, OWN},
    [0x19] = {1, 0, 0, TEXT}, [0x1a] = {2, 0, 0, TEXT}, [0x1b] = {4, 0, 0, TEXT},   /* str */
    [0x1c] = {2, 0, 1, CONTAINER}, [0x1d] = {4, 0, 1, CONTAINER},   /* array 16, 32 */
    [0x1e] = {2, 0, 2, CONTAINER}, [0x1f] = {4, 0, 2, CONTAINER},   /* map 16, 32 */
};

/* Values of one array or map: those still to come, and whether every second one is a key. */
struct level {
    uint64_t left;
    bool has_keys;
};

static bool is_ascii(const uint8_t *at, uint64_t size)
{
    uint8_t seen = 0;
    for (uint64_t i = 0; i < size; i++)
        seen |= at[i];
    return seen < 0x80;
}

/* Where somebody asks (not NULL), also whether the value is plain: nothing follows it, its text is
 * ASCII, its keys are text, and nothing in it is of a type of somebody's own. To none of that can
 * anybody object. */
static enum answer walk(const uint8_t *at, const uint8_t *end, uint64_t values_max, bool *is_plain)
{
    struct level levels[DEPTH_MAX + 1], *level = levels;
    uint64_t values = 0;
    bool has_oddities = false;

    *level = (struct level){1, false};
    for (;;) {
        while (level->left == 0) {
            if (level-- == levels) {
                if (is_plain != NULL)
                    *is_plain = at == end && !has_oddities;
                return WHOLE;
            }
        }
        if (at == end)
            return TORN;
        bool is_key = level->has_keys && level->left % 2 == 0;
        level->left--;
        if (++values > values_max)
            return TOO_MANY;

        uint8_t first = *at++;
        uint64_t size = 0, inner = 0;
        enum kind kind = OTHER;
        if (first < 0x80 || first > 0xdf) { /* fixint */
        } else if (first < 0xa0) { /* fixmap, fixarray */
            kind = CONTAINER;
            inner = (uint64_t)(first & 0x0f) * (first < 0x90 ? 2 : 1);
        } else if (first < 0xc0) { /* fixstr */
            kind = TEXT;
            size = first & 0x1f;
        } else if (first == 0xc1) {
            return NO_VALUE;
        } else {
            struct head head = HEADS[first - 0xc0];
            if (end - at < head.length_size)
                return TORN;
            uint64_t length = 0;
            for (int i = 0; i < head.length_size; i++)
                length = length << 8 | *at++;
            kind = head.kind;
            inner = length * head.inner;
            size = kind == CONTAINER ? 0 : length + head.fixed;
        }
        if ((uint64_t)(end - at) < size)
            return TORN;
        if (is_plain != NULL)
            has_oddities |= kind == TEXT ? !is_ascii(at, size) : is_key || kind == OWN;
        at += size;
        if (kind == CONTAINER) {
            if (++level > levels + DEPTH_MAX)
                return TOO_DEEP;
            *level = (struct level){inner, first < 0x90 || first > 0xdd};
        }
    }
}

static PyObject *frames_walk(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    Py_buffer frame;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "walk(frame, values_max)");
        return NULL;
    }
    unsigned long long values_max = PyLong_AsUnsignedLongLong(args[1]);
    if (PyErr_Occurred() || PyObject_GetBuffer(args[0], &frame, PyBUF_SIMPLE) < 0)
        return NULL;
    const uint8_t *bytes = frame.buf;
    enum answer answer = walk(bytes, bytes + frame.len, values_max, NULL);
    PyBuffer_Release(&frame);
    return PyLong_FromLong(answer);
}

static PyObject *frames_is_plain(PyObject *module, PyObject *value)
{
    Py_buffer encoded;
    if (PyObject_GetBuffer(value, &encoded, PyBUF_SIMPLE) < 0)
        return NULL;
    const uint8_t *bytes = encoded.buf;
    bool is_plain = false;
    walk(bytes, bytes + encoded.len, UINT64_MAX, &is_plain);
    PyBuffer_Release(&encoded);
    return PyBool_FromLong(is_plain);
}

static PyMethodDef METHODS[] = {
    {"walk", (PyCFunction)(void (*)(void))frames_walk, METH_FASTCALL,
     "walk(frame, values_max) -> what was found: one of the module's numbers"},
    {"is_plain", frames_is_plain, METH_O,
     "is_plain(encoded) -> bool: whether it is one value that anybody can decode; False: it may be."},
    {NULL},
};

static int fill(PyObject *module)
{
    return PyModule_AddIntConstant(module, "DEPTH_MAX", DEPTH_MAX) < 0 ||
                   PyModule_AddIntConstant(module, "WHOLE", WHOLE) < 0 ||
                   PyModule_AddIntConstant(module, "TOO_DEEP", TOO_DEEP) < 0 ||
                   PyModule_AddIntConstant(module, "TOO_MANY", TOO_MANY) < 0 ||
                   PyModule_AddIntConstant(module, "TORN", TORN) < 0 ||
                   PyModule_AddIntConstant(module, "NO_VALUE", NO_VALUE) < 0
               ? -1
               : 0;
}

static PyModuleDef_Slot SLOTS[] = {{Py_mod_exec, fill}, {0, NULL}};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "protocols._frames",
    .m_methods = METHODS,
    .m_slots = SLOTS,
};

PyMODINIT_FUNC PyInit__frames(void)
{
    return PyModuleDef_Init(&MODULE);
}
