/* connection: see connection.h. */
#define _GNU_SOURCE
#include "connection.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { RECEIVE_SIZE = 1 << 20, FILL_STEP = 1 << 20, GREETING_TIMEOUT_S = 10 };

static unsigned char receiveBuffer[RECEIVE_SIZE];

uint64_t nowNs(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...) {
    va_list values;
    va_start(values, format);
    fputs("load_generator: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    exit(1);
}

static void failOnBytes(const char *what, const unsigned char *bytes, size_t size) {
    fprintf(stderr, "load_generator: %s: ", what);
    for (size_t i = 0; i < size && i < 120; i++) fprintf(stderr, isprint(bytes[i]) ? "%c" : "\\x%02x", bytes[i]);
    fputc('\n', stderr);
    exit(1);
}

static uint32_t bigEndian(const unsigned char *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* ---- blocking: greeting and filling ---- */

static void sendAll(int socket, const void *bytes, size_t size) {
    for (size_t sent = 0; sent < size;) {
        ssize_t step = send(socket, (const char *)bytes + sent, size - sent, MSG_NOSIGNAL);
        if (step == -1 && errno == EINTR) continue;
        if (step == -1) fail("cannot send: %s", strerror(errno));
        sent += (size_t)step;
    }
}

static void receiveAll(int socket, void *bytes, size_t size) {
    for (size_t received = 0; received < size;) {
        ssize_t step = recv(socket, (char *)bytes + received, size - received, 0);
        if (step == -1 && errno == EINTR) continue;
        if (step == -1) fail("cannot receive: %s", strerror(errno));
        if (step == 0) fail("the server closed the connection");
        received += (size_t)step;
    }
}

static void greetNatively(int socket) {
    /* [id 0, hello, incarnation 0, epoch 0, versions 1 to 1, software, no token, no nonce, uid 0] */
    static const char hello[] = "DSM1\0\0\0\x1b\0\0\0\0\x9a\0\x01\0\0\x01\x01\xae" "load_generator\xc4\0\xc4\0";
    unsigned char bytes[1024];
    sendAll(socket, hello, sizeof hello); /* the literal's own 0 is the uid */
    receiveAll(socket, bytes, 4);
    if (memcmp(bytes, "DSM1", 4) != 0) failOnBytes("not a native greeting", bytes, 4);
    receiveAll(socket, bytes, NATIVE_SIZES);
    uint32_t headerSize = bigEndian(bytes), payloadSize = bigEndian(bytes + 4);
    if (headerSize > sizeof bytes || payloadSize != 0) failOnBytes("not the sizes of a welcome", bytes, NATIVE_SIZES);
    receiveAll(socket, bytes, headerSize);
    /* the id may have any width; the kind comes right behind it */
    size_t kindAt = bytes[1] < 0x80 ? 2 : 2 + ((size_t)1 << (bytes[1] & 3));
    if (headerSize < 7 || (bytes[0] & 0xf0) != 0x90 || bytes[kindAt] != NATIVE_WELCOME)
        failOnBytes("not a welcome", bytes, headerSize);
}

int openSocket(const char *host, const char *port, enum dialect dialect) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    struct timeval limit = {.tv_sec = GREETING_TIMEOUT_S};
    int one = 1, trouble = getaddrinfo(host, port, &hints, &found);
    if (trouble != 0) fail("cannot find %s:%s: %s", host, port, gai_strerror(trouble));
    int result = socket(found->ai_family, found->ai_socktype, found->ai_protocol);
    if (result == -1) fail("cannot make a socket: %s", strerror(errno));
    if (connect(result, found->ai_addr, found->ai_addrlen) == -1) fail("cannot connect to %s:%s: %s", host, port, strerror(errno));
    freeaddrinfo(found);
    setsockopt(result, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(result, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (dialect == DIALECT_NATIVE) greetNatively(result);
    return result;
}

static void receiveLine(int socket, const char *expected) {
    char line[REPLY_HEAD_MAX];
    size_t size = 0;
    do receiveAll(socket, line + size, 1);
    while (line[size++] != '\n' && size < sizeof line);
    if (size < strlen(expected) || memcmp(line, expected, strlen(expected)) != 0)
        failOnBytes("refused while the region was filled", (unsigned char *)line, size);
}

static void fillKeys(int socket, const struct workload *workload, unsigned char *buffer) {
    uint64_t count = memcachedKeyCount(workload);
    for (uint64_t i = 0; i < count; i++) {
        size_t size = encodeMemcachedWriteHead((char *)buffer, workload->key, i * BLOCK_SIZE, workload->size, " noreply");
        fillPattern(buffer + size, i * BLOCK_SIZE, workload->size);
        memcpy(buffer + size + workload->size, "\r\n", 2);
        sendAll(socket, buffer, size + workload->size + 2);
    }
    sendAll(socket, "version\r\n", 9);
    receiveLine(socket, "VERSION");
}

static void fillRange(int socket, const struct workload *workload, unsigned char *buffer) {
    unsigned char reply[NATIVE_SIZES + NATIVE_REPLY_HEADER];
    bool native = workload->dialect == DIALECT_NATIVE;
    for (uint64_t offset = 0; offset < workload->regionSize; offset += FILL_STEP) {
        uint64_t left = workload->regionSize - offset;
        uint32_t step = left < FILL_STEP ? (uint32_t)left : FILL_STEP;
        size_t size = native ? encodeNativeWriteHead(buffer, 0, offset, step)
                             : encodeRedisWriteHead((char *)buffer, workload->key, offset, step);
        fillPattern(buffer + size, offset, step);
        size += step;
        if (!native) memcpy(buffer + size, "\r\n", 2), size += 2;
        sendAll(socket, buffer, size);
        if (!native) {
            receiveLine(socket, ":");
            continue;
        }
        receiveAll(socket, reply, sizeof reply);
        if (bigEndian(reply) != NATIVE_REPLY_HEADER || bigEndian(reply + 4) != 0 || reply[14] != NATIVE_WRITE_REPLY)
            failOnBytes("refused while the region was filled", reply, sizeof reply);
    }
}

void fillRegion(const char *host, const char *port, const struct workload *workload) {
    size_t room = (workload->size > FILL_STEP ? workload->size : FILL_STEP) + 256;
    unsigned char *buffer = malloc(room);
    if (buffer == NULL) fail("no memory for %zu bytes", room);
    int socket = openSocket(host, port, workload->dialect);
    if (workload->dialect == DIALECT_MEMCACHED) fillKeys(socket, workload, buffer);
    else fillRange(socket, workload, buffer);
    close(socket);
    free(buffer);
}

/* ---- not blocking: the measured traffic ---- */

struct connection makeConnection(int socket, size_t first, uint32_t pipeline) {
    struct connection connection = {.socket = socket,
                                    .first = first,
                                    .startedNs = calloc(pipeline, sizeof *connection.startedNs),
                                    .answered = calloc(pipeline, sizeof *connection.answered)};
    if (connection.startedNs == NULL || connection.answered == NULL) fail("no memory for a connection");
    return connection;
}

static size_t ringIndex(const struct connection *connection, const struct traffic *traffic, uint64_t number) {
    return (connection->first + number) & (traffic->ring->count - 1);
}

bool mayQueue(const struct connection *connection, const struct traffic *traffic) {
    return connection->queued - connection->oldest < traffic->workload->pipeline;
}

void queueRequest(struct connection *connection, const struct traffic *traffic, uint64_t startedNs) {
    size_t slot = connection->queued % traffic->workload->pipeline;
    connection->startedNs[slot] = startedNs;
    connection->answered[slot] = false;
    if (connection->unsentCount == 0) {
        connection->unsentFirst = ringIndex(connection, traffic, connection->queued);
        connection->unsentDone = 0;
    }
    connection->unsentCount++;
    connection->queued++;
}

bool flushRequests(struct connection *connection, const struct traffic *traffic) {
    const struct requestRing *ring = traffic->ring;
    while (connection->unsentCount > 0) {
        size_t start = ring->requests[connection->unsentFirst].start;
        size_t size = ring->requests[connection->unsentFirst + connection->unsentCount].start - start;
        ssize_t step = send(connection->socket, ring->bytes + start + connection->unsentDone, size - connection->unsentDone,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (step == -1 && errno == EINTR) continue;
        if (step == -1 && errno == EAGAIN) return false;
        if (step == -1) fail("cannot send: %s", strerror(errno));
        connection->unsentDone += (size_t)step;
        if (connection->unsentDone == size) connection->unsentCount = 0;
    }
    return true;
}

static uint32_t headSizeOf(const struct connection *connection, const struct traffic *traffic) {
    if (traffic->workload->dialect == DIALECT_NATIVE) return NATIVE_SIZES + NATIVE_REPLY_HEADER;
    return traffic->ring->requests[ringIndex(connection, traffic, connection->oldest)].headSize;
}

static const char *tailOf(const struct request *request, enum dialect dialect) {
    if (request->replySize == 0 || dialect == DIALECT_NATIVE) return "";
    return dialect == DIALECT_REDIS ? "\r\n" : "\r\nEND\r\n";
}

/* Which request a native reply's head answers; checks all of the head but incarnation and epoch, which are the server's. */
static uint64_t matchNativeHead(const struct connection *connection, const struct traffic *traffic, const unsigned char *head) {
    size_t mask = traffic->ring->count - 1;
    uint64_t id = bigEndian(head + 10);
    uint64_t number = connection->oldest + ((id - ringIndex(connection, traffic, connection->oldest)) & mask);
    const struct request *request = &traffic->ring->requests[id & mask];
    bool shaped = bigEndian(head) == NATIVE_REPLY_HEADER && head[8] == 0x94 && head[9] == 0xce && head[15] == 0xce && head[20] == 0xce;
    bool asked = id <= mask && number < connection->queued && !connection->answered[number % traffic->workload->pipeline];
    if (!shaped || !asked || head[14] != request->replyKind || bigEndian(head + 4) != request->replySize)
        failOnBytes("not a reply to what was asked", head, NATIVE_SIZES + NATIVE_REPLY_HEADER);
    return number;
}

static uint64_t matchHead(const struct connection *connection, const struct traffic *traffic, const unsigned char *head) {
    if (traffic->workload->dialect == DIALECT_NATIVE) return matchNativeHead(connection, traffic, head);
    const struct request *request = &traffic->ring->requests[ringIndex(connection, traffic, connection->oldest)];
    if (memcmp(head, traffic->ring->heads + request->head, request->headSize) != 0)
        failOnBytes("not a reply to what was asked", head, request->headSize);
    return connection->oldest;
}

static void finishReply(struct connection *connection, struct traffic *traffic, uint64_t timeNs) {
    uint32_t pipeline = traffic->workload->pipeline;
    size_t slot = connection->replying % pipeline;
    connection->answered[slot] = true;
    connection->answeredCount++;
    while (connection->oldest < connection->queued && connection->answered[connection->oldest % pipeline]) connection->oldest++;
    connection->phase = PHASE_HEAD;
    connection->phaseDone = 0;
    histogramRecord(traffic->latencies, timeNs - connection->startedNs[slot]);
    traffic->operations++;
    traffic->payloadBytes += traffic->workload->size;
}

/* Checks the first and last byte of the payload when they are among these bytes. */
static void checkContent(const struct connection *connection, const struct request *request, const unsigned char *bytes, uint32_t size) {
    uint32_t done = connection->phaseDone;
    bool wrong = done == 0 && bytes[0] != patternByte(request->offset);
    wrong |= done + size == request->replySize && bytes[size - 1] != patternByte(request->offset + request->replySize - 1);
    if (!wrong) return;
    fprintf(stderr, "load_generator: at offset %llu:\n", (unsigned long long)request->offset);
    failOnBytes("a read brought other bytes than were written", bytes, size);
}

/* Takes in bytes of the head; returns how many, and moves on once the head is whole. */
static uint32_t consumeHead(struct connection *connection, const struct traffic *traffic, const unsigned char *bytes, size_t size) {
    if (connection->oldest == connection->queued) failOnBytes("bytes nobody asked for", bytes, size);
    uint32_t wanted = headSizeOf(connection, traffic), missing = wanted - connection->phaseDone;
    uint32_t taken = size < missing ? (uint32_t)size : missing;
    const unsigned char *head = bytes;
    if (connection->phaseDone > 0 || taken < wanted) {
        memcpy(connection->head + connection->phaseDone, bytes, taken);
        head = connection->head;
    }
    connection->phaseDone += taken;
    if (connection->phaseDone == wanted) {
        connection->replying = matchHead(connection, traffic, head);
        connection->phase = PHASE_BODY;
        connection->phaseDone = 0;
    }
    return taken;
}

static uint32_t consume(struct connection *connection, struct traffic *traffic, const unsigned char *bytes, size_t size, uint64_t timeNs) {
    uint32_t answered = 0;
    const unsigned char *end = bytes + size;
    while (bytes < end) {
        if (connection->phase == PHASE_HEAD) bytes += consumeHead(connection, traffic, bytes, (size_t)(end - bytes));
        if (connection->phase == PHASE_HEAD) break;
        const struct request *request = &traffic->ring->requests[ringIndex(connection, traffic, connection->replying)];
        if (connection->phase == PHASE_BODY) {
            uint32_t left = request->replySize - connection->phaseDone;
            uint32_t taken = (size_t)(end - bytes) < left ? (uint32_t)(end - bytes) : left;
            if (taken > 0 && traffic->checksContent) checkContent(connection, request, bytes, taken);
            bytes += taken;
            connection->phaseDone += taken;
            if (connection->phaseDone < request->replySize) break;
            connection->phase = PHASE_TAIL;
            connection->phaseDone = 0;
        }
        const char *tail = tailOf(request, traffic->workload->dialect);
        while (tail[connection->phaseDone] != '\0' && bytes < end)
            if (*bytes++ != (unsigned char)tail[connection->phaseDone++]) failOnBytes("a reply ends wrongly", bytes - 1, (size_t)(end - bytes) + 1);
        if (tail[connection->phaseDone] != '\0') break;
        finishReply(connection, traffic, timeNs);
        answered++;
    }
    return answered;
}

uint32_t receiveReplies(struct connection *connection, struct traffic *traffic) {
    uint32_t answered = 0;
    for (;;) {
        ssize_t size = recv(connection->socket, receiveBuffer, sizeof receiveBuffer, MSG_DONTWAIT);
        if (size == -1 && errno == EINTR) continue;
        if (size == -1 && errno == EAGAIN) return answered;
        if (size == -1) fail("cannot receive: %s", strerror(errno));
        if (size == 0) fail("the server closed a connection");
        answered += consume(connection, traffic, receiveBuffer, (size_t)size, nowNs());
        if ((size_t)size < sizeof receiveBuffer) return answered; /* the rest, if any, wakes epoll again */
    }
}
