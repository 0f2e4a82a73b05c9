/* ZMTP 3.0: see zmtp.h. */

#include "zmtp.h"

#include <string.h>

enum { MORE = 1, LONG = 2, COMMAND = 4, FLAGS_MAX = COMMAND | LONG };
enum { SIGNATURE_SIZE = 10, MECHANISM_AT = 12, MECHANISM_SIZE = 20, GREETING_SIZE = 64 };
enum { SHORT_HEAD_SIZE = 2, SHORT_MAX = 255 };
enum { PING_TTL_SIZE = 2, PING_CONTEXT_MAX = 16 };

static const uint8_t VERSION[2] = {3, 0};
static const uint8_t MECHANISM[MECHANISM_SIZE] = "NULL";
static const char READY[] = "\5READY", PING[] = "\4PING", PONG[] = "\4PONG";
static const char SOCKET_TYPE[] = "\13Socket-Type", IDENTITY[] = "\10Identity\0\0\0";

/* Append; both names and bytes go without their last zero. */
#define PUT(at, bytes) (memcpy(at, bytes, sizeof(bytes) - 1), (at) + sizeof(bytes) - 1)

static bool is_named(const struct zmtp_part *command, const char *name, size_t size)
{
    return command->body_size >= size && memcmp(command->body, name, size) == 0;
}

/* What is refused is refused at the first byte that shows it. */
static enum zmtp_found find_greeting(struct zmtp_peer *peer, const uint8_t *at, size_t size,
                                     struct zmtp_part *part)
{
    if ((size > 0 && at[0] != 0xff) ||
        (size >= SIGNATURE_SIZE && at[SIGNATURE_SIZE - 1] != 0x7f) ||
        (size > SIGNATURE_SIZE && at[SIGNATURE_SIZE] != VERSION[0]))
        return ZMTP_NO_GREETING;
    part->size = GREETING_SIZE;
    if (size < GREETING_SIZE)
        return ZMTP_INCOMPLETE;
    if (memcmp(at + MECHANISM_AT, MECHANISM, MECHANISM_SIZE) != 0)
        return ZMTP_NO_NULL;
    peer->is_greeted = true;
    return ZMTP_OTHER;
}

/* The first command is READY; later ones, but for heartbeats, ask nothing of a DEALER or a ROUTER. */
static enum zmtp_found find_command(struct zmtp_peer *peer, const struct zmtp_part *part)
{
    if (peer->is_ready)
        return is_named(part, PING, sizeof PING - 1) ? ZMTP_PING : ZMTP_OTHER;
    if (!is_named(part, READY, sizeof READY - 1))
        return ZMTP_NO_READY;
    peer->is_ready = true;
    return ZMTP_OTHER;
}

enum zmtp_found zmtp_find(struct zmtp_peer *peer, const uint8_t *at, size_t size,
                          struct zmtp_part *part)
{
    if (!peer->is_greeted)
        return find_greeting(peer, at, size, part);
    part->size = SHORT_HEAD_SIZE;
    if (size < SHORT_HEAD_SIZE)
        return ZMTP_INCOMPLETE;

    uint8_t flags = at[0];
    if (flags > FLAGS_MAX || ((flags & COMMAND) && (flags & MORE)))
        return ZMTP_NO_FLAGS;
    if (!peer->is_ready && !(flags & COMMAND))
        return ZMTP_NO_READY;
    size_t head_size = flags & LONG ? ZMTP_HEAD_MAX : SHORT_HEAD_SIZE;
    part->size = head_size;
    if (size < head_size)
        return ZMTP_INCOMPLETE;
    uint64_t body_size = 0;
    for (size_t i = 1; i < head_size; i++)
        body_size = body_size << 8 | at[i];
    if (body_size > peer->frame_bytes_max)
        return ZMTP_TOO_LARGE;
    part->size = head_size + body_size;
    if (size < part->size)
        return ZMTP_INCOMPLETE;

    part->body = at + head_size;
    part->body_size = body_size;
    part->index = peer->index;
    if (flags & COMMAND)
        return find_command(peer, part);
    peer->index = flags & MORE ? peer->index + 1 : 0;
    return ZMTP_FRAME;
}

static size_t head_of(uint8_t head[ZMTP_HEAD_MAX], uint64_t body_size, uint8_t flags)
{
    if (body_size <= SHORT_MAX) {
        head[0] = flags;
        head[1] = (uint8_t)body_size;
        return SHORT_HEAD_SIZE;
    }
    head[0] = flags | LONG;
    for (int i = 0; i < 8; i++)
        head[1 + i] = (uint8_t)(body_size >> (56 - 8 * i));
    return ZMTP_HEAD_MAX;
}

size_t zmtp_head(uint8_t head[ZMTP_HEAD_MAX], uint64_t body_size, bool is_followed)
{
    return head_of(head, body_size, is_followed ? MORE : 0);
}

size_t zmtp_hello(uint8_t hello[ZMTP_HELLO_MAX], const char *socket_type)
{
    size_t type_size = strlen(socket_type);
    memset(hello, 0, GREETING_SIZE);
    hello[0] = 0xff;
    hello[SIGNATURE_SIZE - 1] = 0x7f;
    memcpy(hello + SIGNATURE_SIZE, VERSION, sizeof VERSION);
    memcpy(hello + MECHANISM_AT, MECHANISM, MECHANISM_SIZE);

    size_t ready_size = sizeof READY - 1 + sizeof SOCKET_TYPE - 1 + 4 + type_size + sizeof IDENTITY;
    uint8_t *at = hello + GREETING_SIZE + head_of(hello + GREETING_SIZE, ready_size, COMMAND);
    at = PUT(at, READY);
    at = PUT(at, SOCKET_TYPE);
    memcpy(at, (uint8_t[]){0, 0, 0, (uint8_t)type_size}, 4);
    memcpy(at + 4, socket_type, type_size);
    memcpy(at + 4 + type_size, IDENTITY, sizeof IDENTITY); /* with its last zero: an empty one */
    return at + 4 + type_size + sizeof IDENTITY - hello;
}

size_t zmtp_pong(uint8_t pong[ZMTP_PONG_MAX], const struct zmtp_part *ping)
{
    size_t skipped = sizeof PING - 1 + PING_TTL_SIZE;
    size_t context_size = ping->body_size > skipped ? ping->body_size - skipped : 0;
    if (context_size > PING_CONTEXT_MAX)
        context_size = PING_CONTEXT_MAX;
    uint8_t *at = pong + head_of(pong, sizeof PONG - 1 + context_size, COMMAND);
    at = PUT(at, PONG);
    if (context_size > 0)
        memcpy(at, ping->body + skipped, context_size);
    return at + context_size - pong;
}
