/* Sec-WebSocket-Accept (RFC 6455 section 4.2.2): base64 of the SHA-1 of key and GUID. */
#include <stdint.h>
#include <string.h>

static uint32_t turned(uint32_t word, int bits) { return word << bits | word >> (32 - bits); }

/* One block of SHA-1 (FIPS 180-4 section 6.1.2). */
static void sha1_block(uint32_t hash[5], const uint8_t block[64]) {
    uint32_t w[80], a = hash[0], b = hash[1], c = hash[2], d = hash[3], e = hash[4];
    for (int t = 0; t < 16; t++)
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
               (uint32_t)block[4 * t + 2] << 8 | block[4 * t + 3];
    for (int t = 16; t < 80; t++)
        w[t] = turned(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    for (int t = 0; t < 80; t++) {
        uint32_t f = t < 20              ? (b & c) | (~b & d)
                     : t >= 40 && t < 60 ? (b & c) | (b & d) | (c & d)
                                         : b ^ c ^ d;
        static const uint32_t K[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
        uint32_t next = turned(a, 5) + f + e + K[t / 20] + w[t];
        e = d, d = c, c = turned(b, 30), b = a, a = next;
    }
    hash[0] += a, hash[1] += b, hash[2] += c, hash[3] += d, hash[4] += e;
}

/* `key` has 24 characters; `accept` gets 28 and a zero. */
static void accept_of(const char *key, char accept[29]) {
    static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t hash[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t message[128] = {0}, digest[21] = {0};
    memcpy(message, key, 24);
    memcpy(message + 24, GUID, 36);
    message[60] = 0x80;
    message[126] = 60 * 8 >> 8;
    message[127] = (uint8_t)(60 * 8);
    sha1_block(hash, message);
    sha1_block(hash, message + 64);
    for (int i = 0; i < 20; i++)
        digest[i] = (uint8_t)(hash[i / 4] >> (24 - 8 * (i % 4)));
    for (int i = 0; i < 7; i++) {
        const uint8_t *at = digest + 3 * i;
        uint32_t three = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
        for (int j = 0; j < 4; j++)
            accept[4 * i + j] = DIGITS[three >> (18 - 6 * j) & 63];
    }
    accept[27] = '=';
    accept[28] = 0;
}
