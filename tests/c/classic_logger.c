/*
 * classic_logger: the gathering half of the first ancestor's global logger.
 *
 * Protocol of a local logger's port: for each 32-bit integer it receives, little-endian, the index the asker gave to that
 * logger, it answers the whole memory of its server, raw. Nothing says how long that is; the size is an argument here
 * and was a constant there.
 *
 *   classic_logger BYTES_PER_SERVER HOST PORT [HOST PORT]...
 *
 * Asks the loggers in turn, the first with index 0, the next with index 1, and prints a line "index: char" for each byte,
 * counting on from one server to the next. All memory is gathered before the first line is printed.
 *
 * Exit status: 0 done, 1 a logger failed or closed early, 2 usage.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { TIMEOUT_S = 60 };

static void fail(const char *what, const char *host, const char *port) {
    fprintf(stderr, "classic_logger: %s %s:%s: %s\n", what, host, port, errno != 0 ? strerror(errno) : "connection closed");
    exit(1);
}

static int connectTo(const char *host, const char *port) {
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    int trouble = getaddrinfo(host, port, &hints, &found);
    if (trouble != 0) {
        fprintf(stderr, "classic_logger: cannot find %s:%s: %s\n", host, port, gai_strerror(trouble));
        exit(1);
    }
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval limit = {.tv_sec = TIMEOUT_S};
    if (connection == -1 || connect(connection, found->ai_addr, found->ai_addrlen) == -1)
        fail("cannot connect to", host, port);
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    freeaddrinfo(found);
    return connection;
}

static void gather(const char *host, const char *port, uint32_t index, char *memory, size_t size) {
    unsigned char question[4] = {(unsigned char)index, (unsigned char)(index >> 8), (unsigned char)(index >> 16),
                                 (unsigned char)(index >> 24)};
    int connection = connectTo(host, port);
    if (send(connection, question, sizeof question, MSG_NOSIGNAL) != sizeof question) fail("cannot send to", host, port);
    for (size_t received = 0; received < size;) {
        errno = 0;
        ssize_t step = recv(connection, memory + received, size - received, 0);
        if (step == -1 && errno == EINTR) continue;
        if (step <= 0) fail("cannot receive the memory from", host, port);
        received += (size_t)step;
    }
    close(connection);
}

int main(int argumentCount, char **arguments) {
    char *end = NULL;
    unsigned long long size = argumentCount < 2 ? 0 : strtoull(arguments[1], &end, 10);
    if (argumentCount < 4 || argumentCount % 2 != 0 || *end != '\0' || size == 0 || arguments[1][0] == '-') {
        fputs("usage: classic_logger BYTES_PER_SERVER HOST PORT [HOST PORT]...\n", stderr);
        return 2;
    }
    size_t serverCount = (size_t)(argumentCount - 2) / 2, total;
    char *memory = __builtin_mul_overflow((size_t)size, serverCount, &total) ? NULL : malloc(total);
    if (memory == NULL) {
        fprintf(stderr, "classic_logger: no memory for %zu servers of %llu bytes\n", serverCount, size);
        return 1;
    }
    for (size_t i = 0; i < serverCount; i++)
        gather(arguments[2 + 2 * i], arguments[3 + 2 * i], (uint32_t)i, memory + i * size, size);
    for (size_t i = 0; i < total; i++) printf("%zu: %c\n", i, memory[i]);
    free(memory);
    if (fflush(stdout) == EOF) {
        perror("classic_logger: standard output");
        return 1;
    }
    return 0;
}
