/*
 * native_client: the native dialect spoken from C by hand, to show that it takes no library.
 *
 * After connecting, both sides send "DSM1" and a first frame, hello and welcome. A frame is two 32-bit big-endian sizes, of
 * header and payload, then the header, one msgpack array [id, kind, incarnation, epoch, fields...], then the payload. This
 * client knows neither incarnation nor epoch and says 0. It has one request in flight.
 *
 *   native_client HOST PORT [read OFFSET SIZE]                 prints the bytes and a newline
 *                           [write OFFSET TEXT]                prints "written COUNT"
 *                           [fetchAdd OFFSET WIDTH OPERAND]    prints the value from before; WIDTH is 4 or 8
 *
 * Exit status: 0 done, 1 the server refused (its errno name and sentence are on standard error) or the protocol broke, 2 usage.
 */
#define _GNU_SOURCE
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HELLO = 1, WELCOME = 2, ERROR = 3, READ = 8, READ_REPLY = 9, WRITE = 10, WRITE_REPLY = 11, FETCH_ADD = 14, VALUE_REPLY = 15 };
enum { UINT32 = 0xce, UINT64 = 0xcf, HEADER_SIZE_MAX = 65536, PAYLOAD_SIZE_MAX = 64 << 20 };

static FILE *incoming, *outgoing;
static uint8_t header[HEADER_SIZE_MAX], payload[PAYLOAD_SIZE_MAX];
static size_t headerSize, payloadSize, at;
static uint32_t lastId;

static void fail(const char *text) {
    fprintf(stderr, "native_client: %s\n", text);
    exit(1);
}

static void appendBigEndian(uint64_t value, int width) {
    while (width-- > 0) header[headerSize++] = (uint8_t)(value >> 8 * width);
}

static void append(uint8_t tag, uint64_t value) {
    header[headerSize++] = tag;
    appendBigEndian(value, tag == UINT64 ? 8 : 4);
}

static void startRequest(uint8_t kind, int fieldCount) {
    headerSize = 0;
    appendBigEndian((uint64_t)(0x94 + fieldCount), 1);
    append(UINT32, ++lastId);
    appendBigEndian(kind, 1);
    append(UINT32, 0); /* incarnation */
    append(UINT32, 0); /* epoch */
}

static void sendFrame(const void *bytes, size_t size) {
    uint8_t *end = header + headerSize; /* the sizes are made behind the header and sent before it */
    appendBigEndian(headerSize, 4);
    appendBigEndian(size, 4);
    fwrite(end, 1, 8, outgoing);
    fwrite(header, 1, (size_t)(end - header), outgoing);
    fwrite(bytes, 1, size, outgoing);
    if (fflush(outgoing) == EOF) fail("cannot send");
}

static void receive(void *bytes, size_t size) {
    if (fread(bytes, 1, size, incoming) != size) fail("the server closed the connection");
}

static uint64_t takeBigEndian(size_t width) {
    uint64_t value = 0;
    if (headerSize - at < width) fail("a header ended early");
    while (width-- > 0) value = value << 8 | header[at++];
    return value;
}

static uint64_t takeInteger(void) { /* of any unsigned width */
    uint8_t tag = (uint8_t)takeBigEndian(1);
    if (tag < 0x80) return tag;
    if (tag < 0xcc || tag > 0xcf) fail("a header has no unsigned integer where one belongs");
    return takeBigEndian((size_t)1 << (tag - 0xcc));
}

static void printString(FILE *stream) { /* of at most 65,535 bytes */
    uint8_t tag = (uint8_t)takeBigEndian(1);
    if ((tag & 0xe0) != 0xa0 && tag != 0xd9 && tag != 0xda) fail("a header has no string where one belongs");
    size_t size = tag == 0xd9 ? takeBigEndian(1) : tag == 0xda ? takeBigEndian(2) : tag & 0x1f;
    if (headerSize - at < size) fail("a header ended early");
    fprintf(stream, "%.*s", (int)size, (const char *)header + at);
    at += size;
}

/* Receives the frame that answers the last request, its payload too; leaves `at` on the first field. */
static void receiveReply(uint8_t kind) {
    at = 0, headerSize = 8;
    receive(header, headerSize);
    size_t announced = takeBigEndian(4);
    payloadSize = takeBigEndian(4);
    if (announced > HEADER_SIZE_MAX || payloadSize > PAYLOAD_SIZE_MAX) fail("a frame announced an absurd size");
    at = 0, headerSize = announced;
    receive(header, headerSize);
    receive(payload, payloadSize);
    uint64_t array = takeBigEndian(1), id = takeInteger(), got = takeInteger();
    takeInteger(); /* incarnation */
    takeInteger(); /* epoch */
    if (got == ERROR) {
        fputs("native_client: ", stderr);
        printString(stderr);
        fputs(": ", stderr);
        printString(stderr);
        fputc('\n', stderr);
        exit(1);
    }
    if (array < 0x94 || array > 0x9f || got != kind || (kind != WELCOME && id != lastId)) fail("something else than the reply arrived");
}

static void greet(const char *host, const char *port) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    static const char fields[] = "\x01\x01\xad" "native_client\xc4\0\xc4\0"; /* versions from 1 to 1, software, no token, no nonce */
    if (getaddrinfo(host, port, &hints, &found) != 0) fail("no such host or port");
    int connection = socket(found->ai_family, found->ai_socktype, found->ai_protocol);
    if (connection == -1 || connect(connection, found->ai_addr, found->ai_addrlen) == -1) fail("cannot connect");
    freeaddrinfo(found);
    incoming = fdopen(connection, "r");
    outgoing = fdopen(dup(connection), "w");
    if (incoming == NULL || outgoing == NULL) fail("cannot open a stream");
    startRequest(HELLO, 6);
    memcpy(header + headerSize, fields, sizeof fields); /* the literal's own 0 is the uid */
    headerSize += sizeof fields;
    fputs("DSM1", outgoing);
    sendFrame("", 0);
    receive(header, 4);
    if (memcmp(header, "DSM1", 4) != 0) fail("the server does not speak the native dialect");
    receiveReply(WELCOME);
}

static uint64_t number(const char *text) {
    char *end;
    uint64_t value = strtoull(text, &end, 0);
    if (end == text || *end != '\0' || *text == '-') fail("OFFSET, SIZE, WIDTH and OPERAND are numbers");
    return value;
}

static void request(char **word, int kind, int fieldCount) {
    startRequest((uint8_t)kind, fieldCount);
    append(UINT64, number(word[1]));
    if (kind == READ) append(UINT32, number(word[2]));
    if (kind == FETCH_ADD) appendBigEndian(number(word[2]), 1), append(UINT64, number(word[3]));
    size_t size = kind == WRITE ? strlen(word[2]) : 0;
    sendFrame(word[2], size);
    receiveReply((uint8_t)(kind + 1));
    if (kind == READ && payloadSize != number(word[2])) fail("the server answered with another size");
    if (kind == READ) fwrite(payload, 1, payloadSize, stdout), putchar('\n');
    if (kind == WRITE) printf("written %zu\n", size);
    if (kind == FETCH_ADD) printf("%llu\n", (unsigned long long)takeInteger());
    fflush(stdout);
}

int main(int argumentCount, char **arguments) {
    char **word = arguments + 3, **end = arguments + argumentCount;
    if (argumentCount > 3) greet(arguments[1], arguments[2]);
    while (argumentCount > 3 && word < end) {
        int kind = strcmp(*word, "read") == 0 ? READ : strcmp(*word, "write") == 0 ? WRITE : strcmp(*word, "fetchAdd") == 0 ? FETCH_ADD : 0;
        int fieldCount = kind == FETCH_ADD ? 3 : kind == READ ? 2 : 1;
        int wordCount = kind == FETCH_ADD ? 4 : 3;
        if (kind == 0 || end - word < wordCount) break;
        request(word, kind, fieldCount);
        word += wordCount;
    }
    if (argumentCount > 3 && word == end) return 0;
    fputs("usage: native_client HOST PORT [read OFFSET SIZE | write OFFSET TEXT | fetchAdd OFFSET WIDTH OPERAND]...\n", stderr);
    return 2;
}
