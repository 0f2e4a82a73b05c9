/* Reading MessagePack, value by value, from bytes that may be anything: nothing is read beyond their
 * end, and a function that finds no value of its kind leaves the input where it was, or is used up.
 */

#ifndef HOURBOOK_MSGPACK_H
#define HOURBOOK_MSGPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
} input_t;

static inline uint64_t big_endian(const uint8_t *at, size_t size)
{
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++)
        number = number << 8 | at[i];
    return number;
}

/* 0xc1 begins no value. */
static inline uint8_t first_byte(const input_t *input)
{
    return input->at < input->end ? *input->at : 0xc1;
}

/* Move past a first byte, a length of `length_size` bytes, and as many bytes as that says. */
static inline bool take_body(input_t *input, size_t length_size, const uint8_t **body,
                             size_t *length)
{
    size_t left = input->end - input->at;
    if (left < 1 + length_size)
        return false;
    *length = length_size == 0 ? *input->at & 0x1f : big_endian(input->at + 1, length_size);
    if (left - 1 - length_size < *length)
        return false;
    *body = input->at + 1 + length_size;
    input->at = *body + *length;
    return true;
}

static inline bool take_text(input_t *input, const uint8_t **text, size_t *length)
{
    uint8_t first = first_byte(input);
    bool is_short = (first & 0xe0) == 0xa0;
    if (!is_short && (first < 0xd9 || first > 0xdb))
        return false;
    return take_body(input, is_short ? 0 : (size_t)1 << (first - 0xd9), text, length);
}

static inline bool take_binary(input_t *input, const uint8_t **bytes, size_t *length)
{
    uint8_t first = first_byte(input);
    return first >= 0xc4 && first <= 0xc6 &&
           take_body(input, (size_t)1 << (first - 0xc4), bytes, length);
}

/* The 64 bits of an integer; `is_signed`: they are one in two's complement. */
static inline bool take_int(input_t *input, uint64_t *bits, bool *is_signed)
{
    uint8_t first = first_byte(input);
    if (first < 0x80 || first >= 0xe0) {
        input->at++;
        *bits = (uint64_t)(int8_t)first;
        *is_signed = true;
        return true;
    }
    size_t size = (size_t)1 << (first & 3);
    if (first < 0xcc || first > 0xd3 || (size_t)(input->end - input->at) < 1 + size)
        return false;
    size_t unused = 64 - 8 * size;
    *is_signed = first >= 0xd0;
    *bits = big_endian(input->at + 1, size);
    if (*is_signed)
        *bits = (uint64_t)((int64_t)(*bits << unused) >> unused);
    input->at += 1 + size;
    return true;
}

/* The number of values of an array of at most 65535; -1 where there is none. */
static inline ptrdiff_t take_count(input_t *input)
{
    uint8_t first = first_byte(input);
    bool is_short = (first & 0xf0) == 0x90;
    if (!is_short && (first != 0xdc || input->end - input->at < 3))
        return -1;
    ptrdiff_t count = is_short ? first & 0x0f : (ptrdiff_t)big_endian(input->at + 1, 2);
    input->at += is_short ? 1 : 3;
    return count;
}

#endif
