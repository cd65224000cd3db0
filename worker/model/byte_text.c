/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/byte_text.h"

#include <assert.h>

/* Bytes that are not printable: 0 to 32, 127 to 160, 173. */
enum { FIRST = 0x100, LOW = 33, MIDDLE = 127, MIDDLE_END = 161, HYPHEN = 173 };
enum { HYPHEN_CODE = FIRST + LOW + MIDDLE_END - MIDDLE };

size_t tg_byte_text_write(int byte, char out[2])
{
    assert(0 <= byte && byte < FIRST);
    const int code = byte < LOW                            ? FIRST + byte
                     : byte >= MIDDLE && byte < MIDDLE_END ? FIRST + LOW + byte - MIDDLE
                     : byte == HYPHEN                      ? HYPHEN_CODE
                                                           : byte;
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    out[0] = (char)(0xc0 | code >> 6);
    out[1] = (char)(0x80 | (code & 63));
    return 2;
}

int tg_byte_text_read(struct tg_gguf_text text, size_t *size)
{
    const unsigned char *b = (const unsigned char *)text.bytes;
    char again[2];
    *size = 1;
    if (text.size == 0) return -1;
    int byte = b[0];
    if (byte >= 0x80) {
        if (byte < 0xc2 || byte > 0xc5 || text.size < 2 || (b[1] & 0xc0) != 0x80) return -1;
        const int code = (byte & 0x1f) << 6 | (b[1] & 63);
        *size = 2;
        byte = code < FIRST         ? code
               : code < FIRST + LOW ? code - FIRST
               : code < HYPHEN_CODE ? code - FIRST - LOW + MIDDLE
               : code > HYPHEN_CODE ? -1
                                    : HYPHEN;
    }
    /* A character that is not how its byte is written stands for none. */
    if (byte < 0 || tg_byte_text_write(byte, again) != *size || again[0] != text.bytes[0])
        return -1;
    return *size == 1 || again[1] == text.bytes[1] ? byte : -1;
}
