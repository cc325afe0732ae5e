/* request_ring: see request_ring.h. */
#include "request_ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RING_COUNT_MAX = 32768, RING_COUNT_MIN = 16, RING_SIZE_WANTED = 16 << 20, MEMCACHED_KEYS_MAX = 16384 };
enum { ENVELOPE_MAX = 192 }; /* no dialect here adds more to an operation's bytes */

static uint64_t nextRandom(uint64_t *state) { /* SplitMix64 */
    uint64_t mixed = *state += 0x9E3779B97F4A7C15u;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
    return mixed ^ mixed >> 31;
}

void fillPattern(unsigned char *target, uint64_t offset, size_t size) {
    for (size_t i = 0; i < size; i++) target[i] = patternByte(offset + i);
}

static unsigned char *putBigEndian(unsigned char *target, uint64_t value, int width) {
    for (int i = width - 1; i >= 0; i--) *target++ = (unsigned char)(value >> 8 * i);
    return target;
}

/* Sizes of the frame, then the header as far as all requests share it: array, id, kind, incarnation 0, epoch 0, offset. */
static unsigned char *putNativeHead(unsigned char *at, uint32_t headerSize, uint32_t payloadSize, unsigned char array, uint32_t id,
                                    unsigned char kind, uint64_t offset) {
    at = putBigEndian(at, headerSize, 4);
    at = putBigEndian(at, payloadSize, 4);
    *at++ = array;
    *at++ = 0xce;
    at = putBigEndian(at, id, 4);
    *at++ = kind;
    *at++ = 0xce;
    at = putBigEndian(at, 0, 4);
    *at++ = 0xce;
    at = putBigEndian(at, 0, 4);
    *at++ = 0xcf;
    return putBigEndian(at, offset, 8);
}

size_t encodeNativeRead(unsigned char *target, uint32_t id, uint64_t offset, uint32_t size) {
    unsigned char *at = putNativeHead(target, 31, 0, 0x96, id, NATIVE_READ, offset);
    *at++ = 0xce;
    return (size_t)(putBigEndian(at, size, 4) - target);
}

size_t encodeNativeWriteHead(unsigned char *target, uint32_t id, uint64_t offset, uint32_t size) {
    return (size_t)(putNativeHead(target, 26, size, 0x95, id, NATIVE_WRITE, offset) - target);
}

static int decimalDigits(uint64_t value) { return snprintf(NULL, 0, "%llu", (unsigned long long)value); }

size_t encodeRedisWriteHead(char *target, const char *key, uint64_t offset, uint32_t size) {
    return (size_t)sprintf(target, "*4\r\n$8\r\nSETRANGE\r\n$%zu\r\n%s\r\n$%d\r\n%llu\r\n$%u\r\n", strlen(key), key,
                           decimalDigits(offset), (unsigned long long)offset, size);
}

static size_t encodeRedisRead(char *target, const char *key, uint64_t offset, uint32_t size) {
    uint64_t last = offset + size - 1; /* GETRANGE's end is inclusive */
    return (size_t)sprintf(target, "*4\r\n$8\r\nGETRANGE\r\n$%zu\r\n%s\r\n$%d\r\n%llu\r\n$%d\r\n%llu\r\n", strlen(key), key,
                           decimalDigits(offset), (unsigned long long)offset, decimalDigits(last), (unsigned long long)last);
}

uint64_t memcachedKeyCount(const struct workload *workload) {
    uint64_t place = workload->size > BLOCK_SIZE ? workload->size : BLOCK_SIZE;
    uint64_t count = workload->regionSize / place;
    return count > MEMCACHED_KEYS_MAX ? MEMCACHED_KEYS_MAX : count == 0 ? 1 : count;
}

size_t encodeMemcachedWriteHead(char *target, const char *key, uint64_t offset, uint32_t size, const char *suffix) {
    return (size_t)sprintf(target, "set %s-%llu 0 0 %u%s\r\n", key, (unsigned long long)(offset / BLOCK_SIZE), size, suffix);
}

static uint64_t pickOffset(const struct workload *workload, uint64_t *random) {
    uint64_t size = workload->size, region = workload->regionSize;
    if (workload->dialect == DIALECT_MEMCACHED) return nextRandom(random) % memcachedKeyCount(workload) * BLOCK_SIZE;
    if (nextRandom(random) % 100 < workload->multiPercent && size >= 2 && region >= 2 * BLOCK_SIZE + size) {
        uint64_t before = size / 2 < BLOCK_SIZE ? size / 2 : BLOCK_SIZE / 2;
        uint64_t boundaries = (region - size) / BLOCK_SIZE;
        return (1 + nextRandom(random) % boundaries) * BLOCK_SIZE - before;
    }
    uint64_t alignment = 1;
    while (alignment < size && alignment < BLOCK_SIZE) alignment *= 2;
    return nextRandom(random) % ((region - size) / alignment + 1) * alignment;
}

static size_t ringCount(const struct workload *workload) {
    uint64_t requestSize = ENVELOPE_MAX / 2 + (workload->operation == OPERATION_READ ? 0 : workload->size);
    size_t count = RING_COUNT_MAX;
    while (count > RING_COUNT_MIN && count * requestSize > RING_SIZE_WANTED) count /= 2;
    while (count < 2 * workload->pipeline) count *= 2;
    return count;
}

/* Appends the bytes of one operation and notes what its reply must look like. */
static size_t encodeRequest(struct requestRing *ring, struct request *request, const struct workload *workload, uint32_t id, bool isRead,
                            size_t *headsEnd) {
    unsigned char *target = ring->bytes + request->start, *at = target;
    char *head = ring->heads + *headsEnd;
    uint32_t size = workload->size;
    int headSize = 0;
    request->replySize = isRead ? size : 0;
    request->replyKind = isRead ? NATIVE_READ_REPLY : NATIVE_WRITE_REPLY;
    switch (workload->dialect) {
    case DIALECT_NATIVE:
        at += isRead ? encodeNativeRead(at, id, request->offset, size) : encodeNativeWriteHead(at, id, request->offset, size);
        break;
    case DIALECT_REDIS:
        headSize = isRead ? sprintf(head, "$%u\r\n", size) : sprintf(head, ":%llu\r\n", (unsigned long long)workload->regionSize);
        at += isRead ? encodeRedisRead((char *)at, workload->key, request->offset, size)
                     : encodeRedisWriteHead((char *)at, workload->key, request->offset, size);
        break;
    case DIALECT_MEMCACHED: {
        unsigned long long place = request->offset / BLOCK_SIZE;
        headSize = isRead ? sprintf(head, "VALUE %s-%llu 0 %u\r\n", workload->key, place, size) : sprintf(head, "STORED\r\n");
        at += isRead ? (size_t)sprintf((char *)at, "get %s-%llu\r\n", workload->key, place)
                     : encodeMemcachedWriteHead((char *)at, workload->key, request->offset, size, "");
        break;
    }
    }
    if (!isRead) {
        fillPattern(at, request->offset, size);
        at += size;
        if (workload->dialect != DIALECT_NATIVE) *at++ = '\r', *at++ = '\n';
    }
    request->head = *headsEnd;
    request->headSize = (uint8_t)headSize;
    *headsEnd += (size_t)headSize;
    return (size_t)(at - target);
}

struct requestRing makeRequestRing(const struct workload *workload) {
    size_t count = ringCount(workload), total = count + workload->pipeline, headsEnd = 0;
    size_t room = ENVELOPE_MAX + (workload->operation == OPERATION_READ ? 0 : workload->size);
    struct requestRing ring = {.count = count,
                               .bytes = malloc(total * room),
                               .requests = calloc(total + 1, sizeof *ring.requests),
                               .heads = malloc(total * REPLY_HEAD_MAX)};
    if (ring.bytes == NULL || ring.requests == NULL || ring.heads == NULL) {
        fprintf(stderr, "load_generator: no memory for %zu requests of %zu bytes\n", total, room);
        exit(1);
    }
    uint64_t random = workload->seed;
    for (size_t i = 0; i < count; i++) {
        struct request *request = &ring.requests[i];
        bool isRead = workload->operation == OPERATION_READ || (workload->operation == OPERATION_MIXED && nextRandom(&random) % 2 == 0);
        request->offset = pickOffset(workload, &random);
        request[1].start = request->start + encodeRequest(&ring, request, workload, (uint32_t)i, isRead, &headsEnd);
    }
    for (size_t i = 0; i < workload->pipeline; i++) { /* the beginning once more, behind the end */
        struct request *request = &ring.requests[count + i], *original = &ring.requests[i];
        size_t start = request->start, size = original[1].start - original->start;
        memcpy(ring.bytes + start, ring.bytes + original->start, size);
        *request = *original;
        request->start = start;
        request[1].start = start + size;
    }
    return ring;
}
