/* One connection of ZeroMQ over a Unix socket that never waits, whichever side we are: see _stream.pyi.
 *
 * In C, because it is on the way of every request and every answer, on both sides; and because a
 * call is whole: an interrupt comes before it or after it, never between the kernel's word and our
 * note of it.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "zmtp.h"

enum { ROOM = 64 << 10 }; /* more than that is given back once it is not needed */

/* Bytes from `begin` to `end`, in memory that grows. */
struct bytes {
    uint8_t *all;
    size_t begin, end, size;
};

typedef struct {
    PyObject_HEAD
    int socket, events; /* -1 once closed */
    struct zmtp_peer peer;
    struct bytes in;  /* what has come of the next frame */
    struct bytes out; /* what the kernel had no room for */
} Stream;

/* -- bytes --------------------------------------------------------------------------------------- */

static size_t held(const struct bytes *bytes)
{
    return bytes->end - bytes->begin;
}

/* Have room for `more` bytes after the end; 0, or -1 with an exception. */
static int make_room(struct bytes *bytes, size_t more)
{
    size_t kept = held(bytes);
    if (bytes->size - bytes->end >= more)
        return 0;
    if (bytes->begin > 0)
        memmove(bytes->all, bytes->all + bytes->begin, kept);
    bytes->begin = 0;
    bytes->end = kept;
    if (bytes->size - kept >= more)
        return 0;
    size_t size = bytes->size < ROOM ? ROOM : 2 * bytes->size;
    if (size < kept + more)
        size = kept + more;
    uint8_t *all = realloc(bytes->all, size);
    if (all == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    bytes->all = all;
    bytes->size = size;
    return 0;
}

static void put(struct bytes *bytes, const void *from, size_t size)
{
    memcpy(bytes->all + bytes->end, from, size);
    bytes->end += size;
}

static void drop(struct bytes *bytes, size_t size)
{
    bytes->begin += size;
    if (bytes->begin < bytes->end)
        return;
    bytes->begin = bytes->end = 0;
    if (bytes->size > ROOM) {
        free(bytes->all);
        *bytes = (struct bytes){0};
    }
}

/* -- the socket ---------------------------------------------------------------------------------- */

static PyObject *fail(void)
{
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *fail_with(int error, PyObject *text)
{
    PyObject *arguments = text == NULL ? NULL : Py_BuildValue("iN", error, text);
    if (arguments != NULL)
        PyErr_SetObject(PyExc_OSError, arguments);
    Py_XDECREF(arguments);
    return NULL;
}

static bool is_later(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static int watch(const Stream *self, int how, uint32_t what)
{
    struct epoll_event event = {.events = what, .data.fd = self->socket};
    return epoll_ctl(self->events, how, self->socket, &event);
}

/* Send what there is; 0, or -1 with errno. */
static int flush(Stream *self)
{
    ssize_t sent = send(self->socket, self->out.all + self->out.begin, held(&self->out),
                        MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && !is_later(errno))
        return -1;
    if (sent > 0)
        drop(&self->out, sent);
    return 0;
}

/* Send what was added to what was `unsent` before, unless that waits for room; 0, or -1 with errno. */
static int leave(Stream *self, size_t unsent)
{
    if (unsent > 0)
        return 0;
    if (flush(self) < 0)
        return -1;
    return self->out.end == 0 ? 0 : watch(self, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

/* Send what there was no room for; 0, or -1 with errno. */
static int leave_late(Stream *self)
{
    if (flush(self) < 0)
        return -1;
    return self->out.end > 0 ? 0 : watch(self, EPOLL_CTL_MOD, EPOLLIN);
}

static void end(Stream *self)
{
    if (self->socket < 0)
        return;
    watch(self, EPOLL_CTL_DEL, 0); /* first: a forked child has it, and it would be watched on */
    close(self->socket);
    self->socket = -1;
}

/* Greet the peer of a socket, which is the stream's or closed from now on. */
static PyObject *begin(PyTypeObject *type, int socket, int events, const char *socket_type,
                       unsigned long long frame_bytes_max)
{
    uint8_t hello[ZMTP_HELLO_MAX];
    size_t size = zmtp_hello(hello, socket_type);
    Stream *self = (Stream *)type->tp_alloc(type, 0);
    if (self == NULL) {
        close(socket);
        return NULL;
    }
    self->socket = socket;
    self->events = events;
    self->peer.frame_bytes_max = frame_bytes_max;
    if (send(socket, hello, size, MSG_NOSIGNAL) < 0 || /* whole: nothing fills a new socket */
        watch(self, EPOLL_CTL_ADD, EPOLLIN) < 0) {
        fail();
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static PyObject *stream_connect(PyTypeObject *type, PyObject *args)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    PyObject *path;
    int events;
    unsigned long long frame_bytes_max;
    if (!PyArg_ParseTuple(args, "O&iK:connect", PyUnicode_FSConverter, &path, &events,
                          &frame_bytes_max))
        return NULL;
    size_t size = PyBytes_GET_SIZE(path);
    if (size < sizeof address.sun_path)
        memcpy(address.sun_path, PyBytes_AS_STRING(path), size);
    Py_DECREF(path);
    if (size >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return fail();
    }
    int made = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (made < 0)
        return fail();
    if (connect(made, (struct sockaddr *)&address, sizeof address) < 0) {
        fail();
        close(made);
        return NULL;
    }
    return begin(type, made, events, "DEALER", frame_bytes_max);
}

static PyObject *stream_accept(PyTypeObject *type, PyObject *args)
{
    int listener, events;
    unsigned long long frame_bytes_max;
    if (!PyArg_ParseTuple(args, "iiK:accept", &listener, &events, &frame_bytes_max))
        return NULL;
    int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted < 0)
        return fail();
    return begin(type, accepted, events, "ROUTER", frame_bytes_max);
}

/* -- messages ------------------------------------------------------------------------------------ */

static PyObject *check_open(Stream *self)
{
    if (self->socket >= 0)
        return (PyObject *)self;
    errno = EBADF;
    return fail();
}

/* Add a message to what is to be sent: all of it, or nothing. */
static int add_message(struct bytes *out, PyObject *frames)
{
    Py_ssize_t count = PySequence_Fast_GET_SIZE(frames);
    PyObject **items = PySequence_Fast_ITEMS(frames);
    uint8_t head[ZMTP_HEAD_MAX];
    size_t size = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!PyBytes_Check(items[i])) {
            PyErr_Format(PyExc_TypeError, "Expected frames of bytes, got %R", Py_TYPE(items[i]));
            return -1;
        }
        size += sizeof head + PyBytes_GET_SIZE(items[i]);
    }
    if (make_room(out, size) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        size_t body_size = PyBytes_GET_SIZE(items[i]);
        put(out, head, zmtp_head(head, body_size, i < count - 1));
        put(out, PyBytes_AS_STRING(items[i]), body_size);
    }
    return 0;
}

static PyObject *stream_send(Stream *self, PyObject *sequence)
{
    if (check_open(self) == NULL)
        return NULL;
    PyObject *frames = PySequence_Fast(sequence, "Expected a sequence of frames");
    if (frames == NULL)
        return NULL;
    size_t unsent = held(&self->out);
    int added = add_message(&self->out, frames);
    Py_DECREF(frames);
    if (added < 0)
        return NULL;
    if (leave(self, unsent) < 0)
        return fail();
    Py_RETURN_NONE;
}

/* Nothing that comes after it is heard, whenever we are called again. */
static PyObject *refuse(const Stream *self, enum zmtp_found found, const uint8_t *at, size_t size)
{
    shutdown(self->socket, SHUT_RDWR);
    unsigned long long limit = self->peer.frame_bytes_max;
    PyObject *got = PyBytes_FromStringAndSize((const char *)at, size < 32 ? size : 32);
    PyObject *text = NULL;
    if (got == NULL)
        return NULL;
    switch (found) {
    case ZMTP_NO_GREETING:
        text = PyUnicode_FromFormat("Expected the greeting of ZMTP 3, got %R", got);
        break;
    case ZMTP_NO_NULL:
        text = PyUnicode_FromFormat("Expected ZMTP's mechanism NULL, got %R", got);
        break;
    case ZMTP_NO_READY:
        text = PyUnicode_FromFormat("Expected READY of a ZeroMQ peer, got %R", got);
        break;
    case ZMTP_NO_FLAGS:
        text = PyUnicode_FromFormat("Expected the flags of a ZMTP frame, got %R", got);
        break;
    default:
        text = PyUnicode_FromFormat("Expected a frame of at most %llu bytes, got %R", limit, got);
        break;
    }
    Py_DECREF(got);
    return fail_with(EPROTO, text);
}

/* Add what is whole of the bytes that are here to `frames`, and what we owe to what is to be sent;
 * 0, or -1 with an exception. */
static int take_frames(Stream *self, PyObject *frames)
{
    struct bytes *in = &self->in;
    for (;;) {
        const uint8_t *at = in->all + in->begin;
        size_t size = held(in);
        struct zmtp_part part;
        uint8_t pong[ZMTP_PONG_MAX];
        enum zmtp_found found = zmtp_find(&self->peer, at, size, &part);
        if (found == ZMTP_INCOMPLETE)
            return make_room(in, part.size - size);
        if (found >= ZMTP_NO_GREETING) {
            refuse(self, found, at, size);
            return -1;
        }
        size_t unsent = held(&self->out);
        if (found == ZMTP_FRAME) {
            PyObject *frame = Py_BuildValue("y#I", part.body, (Py_ssize_t)part.body_size, part.index);
            int added = frame == NULL ? -1 : PyList_Append(frames, frame);
            Py_XDECREF(frame);
            if (added < 0)
                return -1;
        } else if (found == ZMTP_PING && unsent == 0) { /* else it reads nothing, and sends for ever */
            if (make_room(&self->out, sizeof pong) < 0)
                return -1;
            put(&self->out, pong, zmtp_pong(pong, &part));
            if (leave(self, unsent) < 0) {
                fail();
                return -1;
            }
        }
        drop(in, part.size);
    }
}

static PyObject *stream_receive(Stream *self, PyObject *none)
{
    if (check_open(self) == NULL)
        return NULL;
    if (self->out.end > 0 && leave_late(self) < 0)
        return fail();
    if (make_room(&self->in, 1) < 0)
        return NULL;
    struct bytes *in = &self->in;
    ssize_t received = recv(self->socket, in->all + in->end, in->size - in->end, MSG_DONTWAIT);
    if (received == 0)
        return fail_with(ECONNRESET, PyUnicode_FromString("the peer has closed"));
    if (received < 0 && !is_later(errno))
        return fail();
    PyObject *frames = PyList_New(0);
    if (frames == NULL || received < 0)
        return frames;
    in->end += received;
    if (take_frames(self, frames) < 0)
        Py_CLEAR(frames);
    return frames;
}

/* -- the end ------------------------------------------------------------------------------------- */

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

/* Send until all has left, the peer has gone, or time is up. */
static void linger(Stream *self, double linger_s)
{
    double end_s = now_s() + linger_s, left_s;
    while (self->out.end > 0 && (left_s = end_s - now_s()) > 0) {
        struct pollfd room = {.fd = self->socket, .events = POLLOUT};
        int ready;
        Py_BEGIN_ALLOW_THREADS
        ready = poll(&room, 1, (int)(left_s * 1000) + 1);
        Py_END_ALLOW_THREADS
        if (ready < 0 || flush(self) < 0)
            return;
    }
}

static PyObject *stream_close(Stream *self, PyObject *args)
{
    double linger_s = 0;
    if (!PyArg_ParseTuple(args, "|d:close", &linger_s))
        return NULL;
    if (self->socket >= 0 && linger_s > 0)
        linger(self, linger_s);
    end(self);
    Py_RETURN_NONE;
}

static void stream_dealloc(Stream *self)
{
    PyTypeObject *type = Py_TYPE(self);
    end(self);
    free(self->in.all);
    free(self->out.all);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *stream_fileno(Stream *self, PyObject *none)
{
    return PyLong_FromLong(self->socket);
}

static PyObject *get_is_ready(Stream *self, void *closure)
{
    return PyBool_FromLong(self->peer.is_ready);
}

static PyObject *get_unsent_bytes(Stream *self, void *closure)
{
    return PyLong_FromSize_t(held(&self->out));
}

static PyMethodDef stream_methods[] = {
    {"connect", (PyCFunction)stream_connect, METH_VARARGS | METH_CLASS,
     "connect(path, events, frame_bytes_max, /) -> Stream: a DEALER."},
    {"accept", (PyCFunction)stream_accept, METH_VARARGS | METH_CLASS,
     "accept(listener, events, frame_bytes_max, /) -> Stream: of a ROUTER."},
    {"fileno", (PyCFunction)stream_fileno, METH_NOARGS, "fileno() -> int: -1 once closed."},
    {"send", (PyCFunction)stream_send, METH_O, "send(frames, /): one message."},
    {"receive", (PyCFunction)stream_receive, METH_NOARGS, "receive() -> [(frame, index), ...]"},
    {"close", (PyCFunction)stream_close, METH_VARARGS, "close(linger_s=0.0, /)"},
    {NULL}};

static PyGetSetDef stream_attributes[] = {
    {"is_ready", (getter)get_is_ready, NULL, "Whether the peer has greeted us."},
    {"unsent_bytes", (getter)get_unsent_bytes, NULL, "What the kernel had no room for yet."},
    {NULL}};

static PyType_Slot stream_slots[] = {
    {Py_tp_doc, "One connection of ZeroMQ: see hourbook/link/_stream.pyi."},
    {Py_tp_dealloc, stream_dealloc},
    {Py_tp_methods, stream_methods},
    {Py_tp_getset, stream_attributes},
    {0, NULL}};

static PyType_Spec stream_spec = {
    .name = "hourbook.link._stream.Stream",
    .basicsize = sizeof(Stream),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = stream_slots,
};

static int fill(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &stream_spec, NULL);
    int result = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return result;
}

static PyModuleDef_Slot SLOTS[] = {{Py_mod_exec, fill}, {0, NULL}};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "hourbook.link._stream",
    .m_slots = SLOTS,
};

PyMODINIT_FUNC PyInit__stream(void)
{
    return PyModuleDef_Init(&MODULE);
}
