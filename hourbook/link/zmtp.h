/* ZMTP 3.0, the bytes of a ZeroMQ connection without encryption. Pure: nothing is read or sent here.
 *
 * "ZeroMQ Message Transport Protocol" (rfc.zeromq.org/spec/23), the NULL mechanism. Either side says
 * what it is at once (64 bytes of greeting, then READY), and sends frames after that: a byte of
 * flags, the size, and what is in it. Libraries that speak 3.1 speak 3.0 to us, but for their
 * heartbeats.
 */
#ifndef HOURBOOK_LINK_ZMTP_H
#define HOURBOOK_LINK_ZMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ZMTP_HEAD_MAX = 9, ZMTP_HELLO_MAX = 128, ZMTP_PONG_MAX = 32 };

/* What the next bytes of a peer are; from ZMTP_NO_GREETING on nothing after them is to be had. */
enum zmtp_found {
    ZMTP_INCOMPLETE,
    ZMTP_FRAME,
    ZMTP_PING, /* wants an answer: zmtp_pong() */
    ZMTP_OTHER, /* nothing to anybody */
    ZMTP_NO_GREETING,
    ZMTP_NO_NULL,
    ZMTP_NO_READY,
    ZMTP_NO_FLAGS,
    ZMTP_TOO_LARGE,
};

/* What is known of a peer. Zero, but for the limit, before its first byte. */
struct zmtp_peer {
    uint64_t frame_bytes_max; /* a larger frame is refused before it is here */
    uint32_t index;           /* of its next frame, in its message */
    bool is_greeted;
    bool is_ready; /* it takes messages */
};

struct zmtp_part {
    size_t size; /* bytes that it takes; of what is incomplete: at least so many */
    const uint8_t *body;
    size_t body_size;
    uint32_t index; /* of a frame, in its message */
};

/* Find what begins at `at`, of which `size` bytes are here. */
enum zmtp_found zmtp_find(struct zmtp_peer *peer, const uint8_t *at, size_t size,
                          struct zmtp_part *part);

/* Write the head of a frame, of a message to which more frames belong or not; return its size. */
size_t zmtp_head(uint8_t head[ZMTP_HEAD_MAX], uint64_t body_size, bool is_followed);

/* Write all that a socket of a type ("DEALER", "ROUTER") says before it hears anything; NULL lets
 * us. Return its size. */
size_t zmtp_hello(uint8_t hello[ZMTP_HELLO_MAX], const char *socket_type);

/* Write the answer to a PING; return its size. */
size_t zmtp_pong(uint8_t pong[ZMTP_PONG_MAX], const struct zmtp_part *ping);

#endif
