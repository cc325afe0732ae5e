/*
 * connection: one connection of the load generator, which sends consecutive requests of a ring and checks every reply.
 *
 * Invariants: at most `pipeline` requests are unanswered; request number n of a connection is the ring's request
 * (first + n) % count. Native replies may come in any order and are matched by id, the others come in the order of their requests.
 * Nothing of a reply is kept: the head is compared, the payload counted (its first and last byte compared with the
 * pattern), the tail compared. What does not match ends the program with the bytes in question.
 */
#ifndef CONNECTION_H
#define CONNECTION_H

#include "histogram.h"
#include "request_ring.h"

enum replyPhase { PHASE_HEAD, PHASE_BODY, PHASE_TAIL };

struct connection {
    int socket;
    size_t first;
    uint64_t queued;        /* requests handed to the connection so far, */
    uint64_t oldest;        /* all of these answered, */
    uint64_t answeredCount; /* and so many of all */
    uint64_t *startedNs;    /* per request in flight: when its latency begins */
    bool *answered;
    size_t unsentFirst; /* ring index of the first request not sent completely, */
    size_t unsentCount; /* how many there are, */
    size_t unsentDone;  /* and how many bytes of them are sent */
    bool awaitsRoom;    /* the socket is watched for room to send */
    enum replyPhase phase;
    uint32_t phaseDone; /* bytes of this phase received */
    uint64_t replying;  /* number of the request whose reply is being received */
    unsigned char head[REPLY_HEAD_MAX];
};

struct traffic {
    const struct workload *workload;
    const struct requestRing *ring;
    bool checksContent; /* the region holds the pattern */
    struct histogram *latencies;
    uint64_t operations;
    uint64_t payloadBytes;
};

uint64_t nowNs(void);

/* Connects and, in the native dialect, greets. The socket blocks. */
int openSocket(const char *host, const char *port, enum dialect dialect);

/* Writes the pattern into the whole region, over a connection of its own. */
void fillRegion(const char *host, const char *port, const struct workload *workload);

struct connection makeConnection(int socket, size_t first, uint32_t pipeline);

static inline uint64_t unanswered(const struct connection *connection) { return connection->queued - connection->answeredCount; }

/* Adds one request whose latency counts from startedNs. There must be room in the pipeline (see mayQueue). */
void queueRequest(struct connection *connection, const struct traffic *traffic, uint64_t startedNs);
bool mayQueue(const struct connection *connection, const struct traffic *traffic);

/* Sends what is queued; returns whether all of it went. */
bool flushRequests(struct connection *connection, const struct traffic *traffic);

/* Receives what is there; returns how many requests that answered. */
uint32_t receiveReplies(struct connection *connection, struct traffic *traffic);

#endif
