/*
 * load_generator: measures what one server answers over TCP, with one thread and epoll.
 *
 *   load_generator PROTOCOL HOST PORT CONNECTIONS PIPELINE OP SIZE SECONDS [options]
 *
 *   PROTOCOL          native (dsm), redis (GETRANGE and SETRANGE of one key) or memcached (get and set of many keys)
 *   PIPELINE          requests in flight per connection
 *   OP                read, write or mixed (half and half)
 *   --region BYTES    random offsets over so many bytes (64 MiB)
 *   --multi PERCENT   share of the operations that straddle the boundary of two 4,096-byte blocks (10; not for memcached)
 *   --key NAME        redis and memcached: the key or its beginning ("dsm")
 *   --seed N          of the offsets (1)
 *   --rate N          open loop: N operations a second on a fixed schedule, see below
 *   --filled          the region holds the pattern already, from an earlier run: do not write it first
 *   --no-check        others write the region too: neither fill it nor look at what reads bring
 *
 * Closed loop: each connection sends PIPELINE requests in one send, waits for all replies, and sends the next. A latency runs
 * from that send to the moment the reply's last bytes were received.
 * Open loop: operation i is due at start + i / rate whatever the server does; it goes out on the next connection with room, and
 * its latency runs from when it was due, so a server that stalls is charged for everything that had to wait. What is
 * unanswered at the end counts with its age.
 *
 * Every reply's framing and size is checked, and unless --no-check the first and last byte that a read brings. A short
 * warm-up is not measured. Prints one line of JSON: opsPerSecond, bytesPerSecond, p50Us, p90Us, p99Us, p999Us, maxUs, and more.
 *
 * Exit status: 0 done, 1 connection, reply or content was wrong (said on standard error), 2 usage.
 */
#define _GNU_SOURCE
#include "connection.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 20000, PIPELINE_MAX = 4096, OPERATION_SIZE_MAX = 16 << 20, EVENTS_MAX = 256 };
#define SECOND_NS 1000000000u
#define STALL_NS (5ull * SECOND_NS)

struct options {
    struct workload workload;
    const char *protocol, *host, *port, *operation;
    uint32_t connections;
    double seconds, rate; /* rate 0: closed loop */
    bool filled, noCheck;
};

struct generator {
    const struct options *options;
    struct traffic traffic;
    struct connection *connections;
    int epoll, timer;
    uint64_t scheduleStartNs;
    uint64_t scheduled; /* open loop: operations handed out */
    uint32_t turn;      /* open loop: the connection to try first */
};

static struct histogram latencies;

static void usage(const char *trouble) {
    if (trouble != NULL) fprintf(stderr, "load_generator: %s\n", trouble);
    fputs("usage: load_generator native|redis|memcached HOST PORT CONNECTIONS PIPELINE read|write|mixed SIZE SECONDS\n"
          "       [--region BYTES] [--multi PERCENT] [--key NAME] [--seed N] [--rate OPS_PER_SECOND] [--filled] [--no-check]\n",
          stderr);
    exit(2);
}

static uint64_t parseNumber(const char *text, const char *name, uint64_t min, uint64_t max) {
    char *end, trouble[160];
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    if (errno == 0 && end != text && *end == '\0' && *text != '-' && value >= min && value <= max) return value;
    snprintf(trouble, sizeof trouble, "%s must be a number from %llu to %llu, not %.40s", name, (unsigned long long)min,
             (unsigned long long)max, text);
    usage(trouble);
    return 0;
}

static double parseDecimal(const char *text, const char *name) {
    char *end, trouble[160];
    double value = strtod(text, &end);
    if (end != text && *end == '\0' && value > 0 && value < 1e9) return value;
    snprintf(trouble, sizeof trouble, "%s must be a positive number, not %.40s", name, text);
    usage(trouble);
    return 0;
}

static int parseChoice(const char *text, const char *const *choices, int count) {
    for (int i = 0; i < count; i++)
        if (strcmp(text, choices[i]) == 0) return i;
    usage("unknown PROTOCOL or OP");
    return -1;
}

static struct options parseOptions(int argumentCount, char **arguments) {
    static const struct option longOptions[] = {
        {"region", required_argument, NULL, 'r'}, {"multi", required_argument, NULL, 'm'}, {"key", required_argument, NULL, 'k'},
        {"seed", required_argument, NULL, 's'},   {"rate", required_argument, NULL, 'o'},  {"filled", no_argument, NULL, 'f'},
        {"no-check", no_argument, NULL, 'n'},     {NULL, 0, NULL, 0}};
    static const char *const protocols[] = {"native", "redis", "memcached"}, *const operations[] = {"read", "write", "mixed"};
    struct options options = {.workload = {.regionSize = 64 << 20, .multiPercent = 10, .seed = 1, .key = "dsm"}};
    struct workload *workload = &options.workload;
    for (int option; (option = getopt_long(argumentCount, arguments, "", longOptions, NULL)) != -1;) {
        if (option == 'r') workload->regionSize = parseNumber(optarg, "--region", 1, 1ull << 40);
        else if (option == 'm') workload->multiPercent = (uint32_t)parseNumber(optarg, "--multi", 0, 100);
        else if (option == 'k') workload->key = optarg;
        else if (option == 's') workload->seed = parseNumber(optarg, "--seed", 0, UINT64_MAX);
        else if (option == 'o') options.rate = parseDecimal(optarg, "--rate");
        else if (option == 'f') options.filled = true;
        else if (option == 'n') options.noCheck = true;
        else usage(NULL);
    }
    if (argumentCount - optind != 8) usage(NULL);
    char **words = arguments + optind;
    options.protocol = words[0];
    options.host = words[1];
    options.port = words[2];
    options.operation = words[5];
    workload->dialect = (enum dialect)parseChoice(words[0], protocols, 3);
    options.connections = (uint32_t)parseNumber(words[3], "CONNECTIONS", 1, CONNECTIONS_MAX);
    workload->pipeline = (uint32_t)parseNumber(words[4], "PIPELINE", 1, PIPELINE_MAX);
    workload->operation = (enum operation)parseChoice(words[5], operations, 3);
    workload->size = (uint32_t)parseNumber(words[6], "SIZE", 1, OPERATION_SIZE_MAX);
    options.seconds = parseDecimal(words[7], "SECONDS");
    if (workload->size > workload->regionSize) usage("SIZE is larger than the region");
    if (strlen(workload->key) == 0 || strlen(workload->key) > KEY_LENGTH_MAX) usage("--key takes 1 to 32 characters");
    return options;
}

static void allowDescriptors(uint32_t count) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == -1 || limit.rlim_cur >= count) return;
    limit.rlim_cur = limit.rlim_max < count ? limit.rlim_max : count;
    setrlimit(RLIMIT_NOFILE, &limit); /* when that is not enough, opening the sockets says so */
}

static void watch(struct generator *generator, int operation, int descriptor, uint32_t events, uint32_t index) {
    struct epoll_event event = {.events = events, .data.u32 = index};
    if (epoll_ctl(generator->epoll, operation, descriptor, &event) == 0) return;
    perror("load_generator: epoll_ctl");
    exit(1);
}

static void openConnections(struct generator *generator) {
    const struct options *options = generator->options;
    generator->epoll = epoll_create1(EPOLL_CLOEXEC);
    generator->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    generator->connections = calloc(options->connections, sizeof *generator->connections);
    if (generator->epoll == -1 || generator->timer == -1 || generator->connections == NULL) {
        perror("load_generator: cannot set up");
        exit(1);
    }
    watch(generator, EPOLL_CTL_ADD, generator->timer, EPOLLIN, options->connections);
    for (uint32_t i = 0; i < options->connections; i++) {
        int socket = openSocket(options->host, options->port, options->workload.dialect);
        size_t first = (size_t)((uint64_t)i * generator->traffic.ring->count / options->connections);
        generator->connections[i] = makeConnection(socket, first, options->workload.pipeline);
        watch(generator, EPOLL_CTL_ADD, socket, EPOLLIN, i);
    }
}

static void flush(struct generator *generator, uint32_t index) {
    struct connection *connection = &generator->connections[index];
    bool awaitsRoom = !flushRequests(connection, &generator->traffic);
    if (awaitsRoom == connection->awaitsRoom) return;
    connection->awaitsRoom = awaitsRoom;
    watch(generator, EPOLL_CTL_MOD, connection->socket, awaitsRoom ? EPOLLIN | EPOLLOUT : EPOLLIN, index);
}

/* Closed loop: a full pipeline, once all of the last one is answered. */
static void sendPipeline(struct generator *generator, uint32_t index) {
    struct connection *connection = &generator->connections[index];
    if (unanswered(connection) > 0) return;
    uint64_t startedNs = nowNs();
    for (uint32_t i = 0; i < generator->options->workload.pipeline; i++) queueRequest(connection, &generator->traffic, startedNs);
    flush(generator, index);
}

static uint64_t dueNs(const struct generator *generator, uint64_t operation) {
    return generator->scheduleStartNs + (uint64_t)((double)operation * SECOND_NS / generator->options->rate);
}

static struct connection *connectionWithRoom(struct generator *generator) {
    uint32_t count = generator->options->connections;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = (generator->turn + i) % count;
        if (!mayQueue(&generator->connections[index], &generator->traffic)) continue;
        generator->turn = (index + 1) % count;
        return &generator->connections[index];
    }
    return NULL;
}

/* Open loop: hands out all that is due and sends it, then sets the timer for the next. */
static void sendScheduled(struct generator *generator) {
    uint64_t timeNs = nowNs();
    struct connection *connection = NULL;
    while (dueNs(generator, generator->scheduled) <= timeNs && (connection = connectionWithRoom(generator)) != NULL)
        queueRequest(connection, &generator->traffic, dueNs(generator, generator->scheduled++));
    for (uint32_t i = 0; i < generator->options->connections; i++) {
        if (generator->connections[i].unsentCount > 0 && !generator->connections[i].awaitsRoom) flush(generator, i);
    }
    uint64_t nextNs = dueNs(generator, generator->scheduled);
    if (nextNs <= timeNs) return; /* every pipeline is full; a reply goes on from here */
    struct itimerspec alarm = {.it_value = {.tv_sec = (time_t)(nextNs / SECOND_NS), .tv_nsec = (long)(nextNs % SECOND_NS)}};
    timerfd_settime(generator->timer, TFD_TIMER_ABSTIME, &alarm, NULL);
}

static bool anyUnanswered(const struct generator *generator) {
    for (uint32_t i = 0; i < generator->options->connections; i++)
        if (unanswered(&generator->connections[i]) > 0) return true;
    return false;
}

static void failStalled(const struct generator *generator) {
    fputs("load_generator: no reply for 5 s\n", stderr);
    for (uint32_t i = 0; i < generator->options->connections && i < 3; i++) {
        const struct connection *connection = &generator->connections[i];
        fprintf(stderr, "  connection %u: %llu unanswered, %zu unsent, %u bytes of the next reply: %.*s\n", i,
                (unsigned long long)unanswered(connection), connection->unsentCount, connection->phaseDone,
                connection->phase == PHASE_HEAD ? (int)connection->phaseDone : 0, (const char *)connection->head);
    }
    exit(1);
}

static double processorSeconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + 1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void handleEvent(struct generator *generator, const struct epoll_event *event) {
    uint32_t index = event->data.u32;
    bool open = generator->options->rate > 0;
    if (index == generator->options->connections) {
        uint64_t expirations;
        if (read(generator->timer, &expirations, sizeof expirations) == -1 && errno != EAGAIN) perror("load_generator: timer");
        return;
    }
    if (event->events & EPOLLOUT) flush(generator, index);
    if ((event->events & ~(uint32_t)EPOLLOUT) == 0) return;
    receiveReplies(&generator->connections[index], &generator->traffic);
    if (!open) sendPipeline(generator, index);
}

/* Open loop: what is still unanswered counts with the age it has. */
static uint64_t recordUnanswered(struct generator *generator, uint64_t endNs) {
    uint64_t count = 0, pipeline = generator->options->workload.pipeline;
    for (uint32_t i = 0; i < generator->options->connections; i++) {
        struct connection *connection = &generator->connections[i];
        for (uint64_t number = connection->oldest; number < connection->queued; number++) {
            if (connection->answered[number % pipeline]) continue;
            histogramRecord(&latencies, endNs - connection->startedNs[number % pipeline]);
            count++;
        }
    }
    for (; dueNs(generator, generator->scheduled) < endNs; generator->scheduled++, count++)
        histogramRecord(&latencies, endNs - dueNs(generator, generator->scheduled));
    return count;
}

static double quantileUs(double fraction) { return (double)histogramQuantile(&latencies, fraction) / 1000; }

static void report(const struct generator *generator, double seconds, double cpuSeconds, uint64_t unansweredCount) {
    const struct options *options = generator->options;
    const struct traffic *traffic = &generator->traffic;
    printf("{\"protocol\":\"%s\",\"op\":\"%s\",\"connections\":%u,\"pipeline\":%u,\"size\":%u,\"rate\":%.0f,\"seconds\":%.3f,"
           "\"operations\":%llu,\"unanswered\":%llu,\"opsPerSecond\":%.1f,\"bytesPerSecond\":%.0f,"
           "\"p50Us\":%.2f,\"p90Us\":%.2f,\"p99Us\":%.2f,\"p999Us\":%.2f,\"maxUs\":%.2f,\"generatorCpuPercent\":%.0f}\n",
           options->protocol, options->operation, options->connections, options->workload.pipeline, options->workload.size,
           options->rate, seconds, (unsigned long long)traffic->operations, (unsigned long long)unansweredCount,
           (double)traffic->operations / seconds, (double)traffic->payloadBytes / seconds, quantileUs(0.5), quantileUs(0.9),
           quantileUs(0.99), quantileUs(0.999), (double)latencies.max / 1000, cpuSeconds / seconds * 100);
}

static void run(struct generator *generator) {
    const struct options *options = generator->options;
    struct epoll_event events[EVENTS_MAX];
    bool open = options->rate > 0, measuring = false;
    double warmUp = options->seconds < 2.5 ? options->seconds * 0.2 : 0.5, cpuBefore = 0;
    uint64_t startNs = nowNs(), measureNs = startNs + (uint64_t)(warmUp * SECOND_NS), progressNs = startNs;
    uint64_t endNs = measureNs + (uint64_t)(options->seconds * SECOND_NS), progress = 0, timeNs = startNs;

    generator->scheduleStartNs = startNs;
    for (uint32_t i = 0; i < options->connections && !open; i++) sendPipeline(generator, i);
    while (timeNs < endNs) {
        if (open) sendScheduled(generator);
        int count = epoll_wait(generator->epoll, events, EVENTS_MAX, 100);
        if (count == -1 && errno != EINTR) {
            perror("load_generator: epoll_wait");
            exit(1);
        }
        for (int i = 0; i < count; i++) handleEvent(generator, &events[i]);
        timeNs = nowNs();
        if (generator->traffic.operations != progress) progress = generator->traffic.operations, progressNs = timeNs;
        if (timeNs - progressNs > STALL_NS && anyUnanswered(generator)) failStalled(generator);
        if (!measuring && timeNs >= measureNs) {
            measuring = true;
            measureNs = timeNs;
            cpuBefore = processorSeconds();
            memset(&latencies, 0, sizeof latencies);
            generator->traffic.operations = generator->traffic.payloadBytes = progress = 0;
        }
    }
    if (generator->traffic.operations == 0) {
        fputs("load_generator: not one reply came while it was measuring\n", stderr);
        exit(1);
    }
    double seconds = (double)(timeNs - measureNs) / SECOND_NS, cpuSeconds = processorSeconds() - cpuBefore;
    report(generator, seconds, cpuSeconds, open ? recordUnanswered(generator, timeNs) : 0);
}

int main(int argumentCount, char **arguments) {
    struct options options = parseOptions(argumentCount, arguments);
    struct requestRing ring = makeRequestRing(&options.workload);
    struct generator generator = {
        .options = &options,
        .traffic = {.workload = &options.workload, .ring = &ring, .checksContent = !options.noCheck, .latencies = &latencies}};
    allowDescriptors(options.connections + 32);
    if (!options.filled && !options.noCheck) fillRegion(options.host, options.port, &options.workload);
    openConnections(&generator);
    run(&generator);
    return 0;
}
