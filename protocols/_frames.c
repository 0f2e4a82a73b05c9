/* How deep a MessagePack value nests, and how many values it holds, before anything is built of it.
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

/* What the first byte of a value says of the rest of it. */
struct head {
    uint8_t length_size; /* bytes that hold a length, or a count, big endian */
    uint8_t fixed;       /* bytes after them whatever they say */
    uint8_t inner;       /* values inside for each one counted; 0: no container */
};

static const struct head HEADS[32] = {                              /* of 0xc0 .. 0xdf */
    [0x04] = {1, 0, 0}, [0x05] = {2, 0, 0}, [0x06] = {4, 0, 0},     /* bin 8, 16, 32 */
    [0x07] = {1, 1, 0}, [0x08] = {2, 1, 0}, [0x09] = {4, 1, 0},     /* ext 8, 16, 32 */
    [0x0a] = {0, 4, 0}, [0x0b] = {0, 8, 0},                         /* float 32, 64 */
    [0x0c] = {0, 1, 0}, [0x0d] = {0, 2, 0}, [0x0e] = {0, 4, 0}, [0x0f] = {0, 8, 0}, /* uint */
    [0x10] = {0, 1, 0}, [0x11] = {0, 2, 0}, [0x12] = {0, 4, 0}, [0x13] = {0, 8, 0}, /* int */
    [0x14] = {0, 2, 0}, [0x15] = {0, 3, 0}, [0x16] = {0, 5, 0}, [0x17] = {0, 9, 0}, /* fixext */
    [0x18] = {0, 17, 0},
    [0x19] = {1, 0, 0}, [0x1a] = {2, 0, 0}, [0x1b] = {4, 0, 0},     /* str 8, 16, 32 */
    [0x1c] = {2, 0, 1}, [0x1d] = {4, 0, 1},                         /* array 16, 32 */
    [0x1e] = {2, 0, 2}, [0x1f] = {4, 0, 2},                         /* map 16, 32 */
};

static enum answer walk(const uint8_t *at, const uint8_t *end, uint64_t values_max)
{
    uint64_t left[DEPTH_MAX + 1] = {1}; /* values still to come at each level that is open */
    uint64_t values = 0;
    int depth = 0;

    for (;;) {
        while (left[depth] == 0) {
            if (depth-- == 0)
                return WHOLE;
        }
        if (at == end)
            return TORN;
        left[depth]--;
        if (++values > values_max)
            return TOO_MANY;

        uint8_t first = *at++;
        uint64_t size = 0, inner = 0;
        bool is_container = first >= 0x80 && first <= 0x9f;
        if (is_container) { /* fixmap, fixarray */
            inner = (uint64_t)(first & 0x0f) * (first < 0x90 ? 2 : 1);
        } else if (first >= 0xa0 && first <= 0xbf) { /* fixstr */
            size = first & 0x1f;
        } else if (first == 0xc1) {
            return NO_VALUE;
        } else if (first >= 0xc0 && first <= 0xdf) {
            struct head head = HEADS[first - 0xc0];
            if (end - at < head.length_size)
                return TORN;
            uint64_t length = 0;
            for (int i = 0; i < head.length_size; i++)
                length = length << 8 | *at++;
            is_container = head.inner > 0;
            inner = length * head.inner;
            size = is_container ? 0 : length + head.fixed;
        }
        if ((uint64_t)(end - at) < size)
            return TORN;
        at += size;
        if (is_container) {
            if (++depth > DEPTH_MAX)
                return TOO_DEEP;
            left[depth] = inner;
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
    enum answer answer = walk(bytes, bytes + frame.len, values_max);
    PyBuffer_Release(&frame);
    return PyLong_FromLong(answer);
}

static PyMethodDef METHODS[] = {
    {"walk", (PyCFunction)(void (*)(void))frames_walk, METH_FASTCALL,
     "walk(frame, values_max) -> what was found: one of the module's numbers"},
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
