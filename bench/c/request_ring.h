/*
 * request_ring: the requests a load generator sends, made before the first of them is sent.
 *
 * The ring holds `count` different requests, a power of two, in the bytes of one dialect, one behind the other. The first
 * `pipeline` of them stand a second time behind the last, so that any `pipeline` consecutive requests are one span of
 * bytes for one send. Offsets are random over the whole region; a given share of the operations straddles the boundary
 * of two blocks of 4,096 bytes. What is written at an offset is always the same there (`patternByte`), so once the
 * region was filled that way every reply to a read can be checked, whoever else writes.
 *
 * memcached has no ranges: there a request names one of many keys, and "offset" is that key's place among them.
 */
#ifndef REQUEST_RING_H
#define REQUEST_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dialect { DIALECT_NATIVE, DIALECT_REDIS, DIALECT_MEMCACHED };
enum operation { OPERATION_READ, OPERATION_WRITE, OPERATION_MIXED };
enum { BLOCK_SIZE = 4096, KEY_LENGTH_MAX = 32, REPLY_HEAD_MAX = 96 };

/* The native dialect's kinds and sizes that a load generator meets. */
enum { NATIVE_HELLO = 1, NATIVE_WELCOME = 2, NATIVE_READ = 8, NATIVE_READ_REPLY = 9, NATIVE_WRITE = 10, NATIVE_WRITE_REPLY = 11 };
enum { NATIVE_SIZES = 8, NATIVE_REPLY_HEADER = 17 };

struct workload {
    enum dialect dialect;
    enum operation operation;
    uint32_t size;        /* bytes per operation */
    uint32_t pipeline;    /* requests in flight per connection */
    uint64_t regionSize;
    uint32_t multiPercent; /* share of operations that straddle two blocks */
    uint64_t seed;
    const char *key;
};

struct request {
    size_t start;       /* where its bytes begin in the ring; they end where the next one's begin */
    uint64_t offset;    /* of the operation in the region */
    uint32_t replySize; /* payload bytes of the reply */
    uint8_t replyKind;  /* native: the kind of the reply */
    uint8_t headSize;   /* redis, memcached: the reply begins with these bytes of `heads` */
    size_t head;
};

struct requestRing {
    unsigned char *bytes;
    struct request *requests; /* count + pipeline, and one more whose start is the end */
    char *heads;
    size_t count;
};

static inline unsigned char patternByte(uint64_t offset) { return (unsigned char)(offset * 0x9E3779B97F4A7C15u >> 56); }

void fillPattern(unsigned char *target, uint64_t offset, size_t size);

/* Makes the ring; ends the program with a message when the workload cannot be had. */
struct requestRing makeRequestRing(const struct workload *workload);

/* Encoders of single requests, for the ring and for filling the region before a run. Each returns the size. */
size_t encodeNativeRead(unsigned char *target, uint32_t id, uint64_t offset, uint32_t size);
size_t encodeNativeWriteHead(unsigned char *target, uint32_t id, uint64_t offset, uint32_t size);
size_t encodeRedisWriteHead(char *target, const char *key, uint64_t offset, uint32_t size);

/* How many keys stand for the region, and the bytes of the region each stands for. */
uint64_t memcachedKeyCount(const struct workload *workload);
size_t encodeMemcachedWriteHead(char *target, const char *key, uint64_t offset, uint32_t size, const char *suffix);

#endif
