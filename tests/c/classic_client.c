/*
 * classic_client: reads and writes ranges of the whole space the way the first ancestor's client does.
 *
 * Protocol, all integers 32 bits in network order:
 *   config server   greets at once: count, length, then length bytes "ip:port;ip:port;...;", and closes
 *   memory server   'r' start end        answered with end - start bytes
 *                   'w' start end bytes  not answered
 *                   'q'                  ends the connection
 * Positions on the wire are local to a server, end exclusive. Like its model this program takes dotted IPv4 of at most 15
 * characters only, finds the end of a port by its ';' and insists on the last one, and was built for one size of server,
 * which here is an argument (the original: 10).
 *
 *   classic_client CONFIG_HOST CONFIG_PORT BYTES_PER_SERVER [COMMAND...]
 *
 *   r START END         prints the bytes and a newline
 *   w START END TEXT    writes TEXT, which must have END - START bytes
 *   q                   says 'q' to every server and ends
 *
 * Commands come from the arguments, or without any from standard input: the words may stand on one line or on several,
 * TEXT is the rest of its line. A refused command is named on standard error and the next one goes on.
 *
 * Exit status: 0 done, 1 a server or a command failed, 2 usage.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { SERVERS_MAX = 256, ADDRESS_LENGTH_MAX = 15, PORT_LENGTH_MAX = 5, LIST_SIZE_MAX = 64 * 1024, TIMEOUT_S = 60 };

struct server {
    char address[ADDRESS_LENGTH_MAX + 1];
    char port[PORT_LENGTH_MAX + 1];
    int socket; /* -1 until it is first needed */
};

static struct server servers[SERVERS_MAX];
static uint32_t serverCount;
static uint32_t bytesPerServer;

static void fail(const char *what, const char *host, const char *port) {
    fprintf(stderr, "classic_client: %s %s:%s: %s\n", what, host, port, errno != 0 ? strerror(errno) : "connection closed");
    exit(1);
}

static uint32_t parseNumber(const char *text, const char *name, int *wrong) {
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value > UINT32_MAX) {
        fprintf(stderr, "classic_client: %s is not a position: %s\n", name, text);
        *wrong = 1;
    }
    return (uint32_t)value;
}

static int connectTo(const char *host, const char *port) {
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    int trouble = getaddrinfo(host, port, &hints, &found);
    if (trouble != 0) {
        fprintf(stderr, "classic_client: cannot find %s:%s: %s\n", host, port, gai_strerror(trouble));
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

static void sendAll(int connection, const void *bytes, size_t size, const char *host, const char *port) {
    for (size_t sent = 0; sent < size;) {
        ssize_t step = send(connection, (const char *)bytes + sent, size - sent, MSG_NOSIGNAL);
        if (step == -1 && errno == EINTR) continue;
        if (step == -1) fail("cannot send to", host, port);
        sent += (size_t)step;
    }
}

static void receiveAll(int connection, void *bytes, size_t size, const char *host, const char *port) {
    for (size_t received = 0; received < size;) {
        errno = 0;
        ssize_t step = recv(connection, (char *)bytes + received, size - received, 0);
        if (step == -1 && errno == EINTR) continue;
        if (step <= 0) fail("cannot receive from", host, port);
        received += (size_t)step;
    }
}

/* Takes one "ip:port;" from the list and returns what follows it. */
static const char *parseEntry(const char *entry, const char *end, struct server *server) {
    const char *semicolon = memchr(entry, ';', (size_t)(end - entry));
    const char *colon = semicolon == NULL ? NULL : memchr(entry, ':', (size_t)(semicolon - entry));
    struct in_addr ignored;
    if (semicolon == NULL || colon == NULL || colon - entry > ADDRESS_LENGTH_MAX || semicolon - colon - 1 > PORT_LENGTH_MAX) {
        fprintf(stderr, "classic_client: the config server's list is not \"ip:port;...;\": %.*s\n", (int)(end - entry), entry);
        exit(1);
    }
    memcpy(server->address, entry, (size_t)(colon - entry));
    memcpy(server->port, colon + 1, (size_t)(semicolon - colon - 1));
    server->socket = -1;
    if (inet_pton(AF_INET, server->address, &ignored) != 1) {
        fprintf(stderr, "classic_client: not a dotted IPv4 address: %s\n", server->address);
        exit(1);
    }
    return semicolon + 1;
}

static void askConfigServer(const char *host, const char *port) {
    static char list[LIST_SIZE_MAX];
    uint32_t words[2];
    int connection = connectTo(host, port);
    receiveAll(connection, words, sizeof words, host, port);
    serverCount = ntohl(words[0]);
    uint32_t length = ntohl(words[1]);
    if (serverCount == 0 || serverCount > SERVERS_MAX || length > LIST_SIZE_MAX) {
        fprintf(stderr, "classic_client: the config server announced %u servers in %u bytes\n", serverCount, length);
        exit(1);
    }
    receiveAll(connection, list, length, host, port);
    close(connection);
    const char *next = list, *end = list + length;
    for (uint32_t i = 0; i < serverCount; i++) next = parseEntry(next, end, &servers[i]);
    if (next != end) {
        fprintf(stderr, "classic_client: %td bytes follow the last of %u servers\n", end - next, serverCount);
        exit(1);
    }
}

/* Sends one request to the server that has the first byte of the range; returns how many bytes of it that server has. */
static uint32_t sendPart(char command, uint32_t start, uint32_t end, const char *text) {
    struct server *server = &servers[start / bytesPerServer];
    if (server->socket == -1) server->socket = connectTo(server->address, server->port);
    uint32_t localStart = start % bytesPerServer;
    uint32_t size = end - start < bytesPerServer - localStart ? end - start : bytesPerServer - localStart;
    uint32_t positions[2] = {htonl(localStart), htonl(localStart + size)};
    char request[1 + sizeof positions];
    request[0] = command;
    memcpy(request + 1, positions, sizeof positions);
    sendAll(server->socket, request, sizeof request, server->address, server->port);
    if (command == 'w') sendAll(server->socket, text, size, server->address, server->port);
    return size;
}

static void receivePart(char *target, uint32_t start, uint32_t size) {
    struct server *server = &servers[start / bytesPerServer];
    receiveAll(server->socket, target, size, server->address, server->port);
}

static int checkRange(uint32_t start, uint32_t end) {
    uint64_t size = (uint64_t)serverCount * bytesPerServer;
    if (start <= end && end <= size) return 1;
    fprintf(stderr, "classic_client: positions %u to %u are not in the space of %llu bytes\n", start, end, (unsigned long long)size);
    return 0;
}

static int readCommand(uint32_t start, uint32_t end) {
    if (!checkRange(start, end)) return 1;
    char *bytes = malloc((size_t)(end - start) + 1);
    if (bytes == NULL) abort();
    for (uint32_t at = start, size; at < end; at += size) size = sendPart('r', at, end, NULL); /* all servers at once */
    for (uint32_t at = start, size; at < end; at += size) {
        size = end - at < bytesPerServer - at % bytesPerServer ? end - at : bytesPerServer - at % bytesPerServer;
        receivePart(bytes + (at - start), at, size);
    }
    bytes[end - start] = '\n';
    size_t size = (size_t)(end - start) + 1;
    int failed = fwrite(bytes, 1, size, stdout) != size || fflush(stdout) == EOF;
    free(bytes);
    return failed;
}

static int writeCommand(uint32_t start, uint32_t end, const char *text) {
    if (!checkRange(start, end)) return 1;
    if (strlen(text) != end - start) {
        fprintf(stderr, "classic_client: %zu characters do not fill positions %u to %u\n", strlen(text), start, end);
        return 1;
    }
    for (uint32_t at = start, size; at < end; at += size) size = sendPart('w', at, end, text + (at - start));
    return 0;
}

static void quit(void) {
    for (uint32_t i = 0; i < serverCount; i++) {
        if (servers[i].socket == -1) continue;
        sendAll(servers[i].socket, "q", 1, servers[i].address, servers[i].port);
        close(servers[i].socket);
    }
}

/* The next word of standard input, or (wholeLine) the rest of the line after leading blanks; NULL at the end. */
static char *nextFromInput(int wholeLine) {
    static char *word;
    static size_t capacity;
    size_t length = 0;
    int byte = getchar();
    while (byte != EOF && isspace(byte)) byte = getchar();
    if (byte == EOF) return NULL;
    for (; byte != EOF && byte != '\n' && (wholeLine || !isspace(byte)); byte = getchar()) {
        if (length + 1 >= capacity) word = realloc(word, capacity = capacity * 2 + 64);
        if (word == NULL) abort();
        word[length++] = (char)byte;
    }
    ungetc(byte, stdin);
    word[length] = '\0';
    return word;
}

/* Where the words of the commands come from: the arguments that are left, or standard input when there were none. */
struct words {
    char **arguments;
    int fromInput;
};

static char *nextWord(struct words *words, int wholeLine) {
    if (words->fromInput) return nextFromInput(wholeLine);
    return *words->arguments == NULL ? NULL : *words->arguments++;
}

/* 'r' or 'w' with its positions and text. Returns whether it failed. */
static int rangeCommand(char command, struct words *words) {
    uint32_t positions[2] = {0, 0};
    int wrong = 0;
    for (int i = 0; i < 2; i++) {
        char *word = nextWord(words, 0);
        if (word == NULL) {
            fprintf(stderr, "classic_client: %c needs a start and an end\n", command);
            return 1;
        }
        positions[i] = parseNumber(word, i == 0 ? "START" : "END", &wrong);
    }
    char *text = command == 'w' ? nextWord(words, 1) : NULL;
    if (command == 'w' && text == NULL) {
        fputs("classic_client: w needs a text\n", stderr);
        return 1;
    }
    if (wrong) return 1;
    return command == 'r' ? readCommand(positions[0], positions[1]) : writeCommand(positions[0], positions[1], text);
}

int main(int argumentCount, char **arguments) {
    int wrong = 0, failed = 0;
    bytesPerServer = argumentCount < 4 ? 0 : parseNumber(arguments[3], "BYTES_PER_SERVER", &wrong);
    if (wrong || bytesPerServer == 0) {
        fputs("usage: classic_client CONFIG_HOST CONFIG_PORT BYTES_PER_SERVER [r START END | w START END TEXT | q]...\n", stderr);
        return 2;
    }
    askConfigServer(arguments[1], arguments[2]);
    struct words words = {.arguments = arguments + 4, .fromInput = argumentCount == 4};
    for (char *word = nextWord(&words, 0); word != NULL; word = nextWord(&words, 0)) {
        if (strcmp(word, "q") == 0) break;
        if (strcmp(word, "r") == 0 || strcmp(word, "w") == 0) {
            failed |= rangeCommand(word[0], &words);
        } else {
            fprintf(stderr, "classic_client: not a command: %s\n", word);
            failed = 1;
        }
    }
    quit();
    return failed;
}
