/*
 * key_only: a program that knows two System V keys and a block size, and nothing else of dsm.
 *
 * It attaches the segment of SHMKEY and opens the semaphore set of SEMKEY. User data starts at byte 0 of the segment, and
 * semaphore (block % number of semaphores) guards a block: 1 when free. A take is {guard, -1, SEM_UNDO}, a give is
 * {guard, +1, SEM_UNDO}, so that the kernel gives back what a killed process held.
 *
 *   key_only SHMKEY SEMKEY BLOCK_SIZE read OFFSET SIZE              takes the guards, prints the bytes and a newline
 *   key_only SHMKEY SEMKEY BLOCK_SIZE peek OFFSET SIZE              the same without taking anything
 *   key_only SHMKEY SEMKEY BLOCK_SIZE write OFFSET TEXT             takes the guards, writes, gives back
 *   key_only SHMKEY SEMKEY BLOCK_SIZE hold BLOCK                    prints "held BLOCK", waits for a line (or the end of
 *                                                                   standard input), gives back, prints "released"
 *   key_only SHMKEY SEMKEY BLOCK_SIZE holdwrite BLOCK OFFSET TEXT   takes the guard, writes, prints "held", then as above
 *
 *   key_only SHMKEY SEMKEY BLOCK_SIZE churn BLOCK                   prints "churning", then fills the block with one byte after
 *                                                                   the other, slowly, a take each, until it is killed
 *
 * A range takes all its guards, each once, in one semop: nothing is held while waiting. It never resizes, resets or
 * removes anything. The footer behind the data is not its business; OFFSET is only checked against the whole segment.
 *
 * Exit status: 0 done, 1 a call failed (said on standard error), 2 usage.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/shm.h>

enum { GUARDS_MAX = 500 }; /* SEMOPM: the kernel's limit of operations in one semop */

union semaphoreArgument { /* the caller of semctl declares it, says semctl(2) */
    int value;
    struct semid_ds *status;
    unsigned short *values;
};

struct region {
    unsigned char *bytes;
    uint64_t size;
    uint64_t blockSize;
    int semaphores;
    uint64_t guardCount;
};

struct guards {
    unsigned short indexes[GUARDS_MAX];
    size_t count;
};

static void usage(void) {
    fputs("usage: key_only SHMKEY SEMKEY BLOCK_SIZE (read|peek) OFFSET SIZE\n"
          "                                         write OFFSET TEXT\n"
          "                                         hold BLOCK\n"
          "                                         holdwrite BLOCK OFFSET TEXT\n"
          "                                         churn BLOCK\n", stderr);
    exit(2);
}

static void fail(const char *what, uint64_t which) {
    fprintf(stderr, "key_only: cannot %s %llu: %s\n", what, (unsigned long long)which, strerror(errno));
    exit(1);
}

static uint64_t parseNumber(const char *text, const char *name) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0' || *text == '-') {
        fprintf(stderr, "key_only: %s: not a number: %s\n", name, text);
        exit(2);
    }
    return value;
}

static struct region openRegion(uint64_t shmKey, uint64_t semKey, uint64_t blockSize, int readOnly) {
    struct shmid_ds segment;
    struct semid_ds set;
    struct region region = {.blockSize = blockSize};

    int segmentId = shmget((key_t)shmKey, 0, 0);
    if (segmentId == -1) fail("find the shared memory with key", shmKey);
    if (shmctl(segmentId, IPC_STAT, &segment) == -1) fail("ask for the size of the shared memory with key", shmKey);
    region.size = segment.shm_segsz;
    region.bytes = shmat(segmentId, NULL, readOnly ? SHM_RDONLY : 0);
    if (region.bytes == (void *)-1) fail("attach the shared memory with key", shmKey);

    region.semaphores = semget((key_t)semKey, 0, 0);
    if (region.semaphores == -1) fail("find the semaphore set with key", semKey);
    if (semctl(region.semaphores, 0, IPC_STAT, (union semaphoreArgument){.status = &set}) == -1)
        fail("ask for the size of the semaphore set with key", semKey);
    region.guardCount = set.sem_nsems;
    return region;
}

static void checkRange(const struct region *region, uint64_t offset, uint64_t size) {
    if (offset > region->size || size > region->size - offset) {
        fprintf(stderr, "key_only: bytes %llu to %llu are outside the segment of %llu bytes\n", (unsigned long long)offset,
                (unsigned long long)(offset + size), (unsigned long long)region->size);
        exit(1);
    }
}

static void addGuard(const struct region *region, struct guards *guards, uint64_t block) {
    unsigned short index = (unsigned short)(block % region->guardCount);
    for (size_t i = 0; i < guards->count; i++)
        if (guards->indexes[i] == index) return; /* the same one twice in a take waits for ever */
    if (guards->count == GUARDS_MAX) {
        fprintf(stderr, "key_only: the range needs more than %d guards at once\n", GUARDS_MAX);
        exit(1);
    }
    guards->indexes[guards->count++] = index;
}

static struct guards guardsOfRange(const struct region *region, uint64_t offset, uint64_t size) {
    struct guards guards = {.count = 0};
    if (size == 0) return guards;
    uint64_t first = offset / region->blockSize, last = (offset + size - 1) / region->blockSize;
    /* after guardCount blocks the guards repeat */
    for (uint64_t block = first; block <= last && block - first < region->guardCount; block++)
        addGuard(region, &guards, block);
    return guards;
}

static void move(const struct region *region, const struct guards *guards, short step, const char *what) {
    struct sembuf operations[GUARDS_MAX];
    if (guards->count == 0) return;
    for (size_t i = 0; i < guards->count; i++)
        operations[i] = (struct sembuf){.sem_num = guards->indexes[i], .sem_op = step, .sem_flg = SEM_UNDO};
    while (semop(region->semaphores, operations, guards->count) == -1)
        if (errno != EINTR) fail(what, guards->indexes[0]);
}

static void take(const struct region *region, const struct guards *guards) { move(region, guards, -1, "take guard"); }

static void give(const struct region *region, const struct guards *guards) { move(region, guards, +1, "give back guard"); }

static void say(const char *line) {
    if (puts(line) == EOF || fflush(stdout) == EOF) {
        perror("key_only: standard output");
        exit(1);
    }
}

static void waitForLine(void) {
    for (int byte = getchar(); byte != '\n' && byte != EOF; byte = getchar()) {}
}

static void readRange(const struct region *region, uint64_t offset, uint64_t size, int locked) {
    checkRange(region, offset, size);
    unsigned char *copy = malloc(size + 1);
    if (copy == NULL) fail("allocate bytes:", size);
    struct guards guards = guardsOfRange(region, offset, locked ? size : 0);
    take(region, &guards);
    memcpy(copy, region->bytes + offset, size);
    give(region, &guards);
    copy[size] = '\n';
    if (fwrite(copy, 1, size + 1, stdout) != size + 1 || fflush(stdout) == EOF) {
        perror("key_only: standard output");
        exit(1);
    }
    free(copy);
}

static void writeRange(const struct region *region, uint64_t offset, const char *text) {
    size_t size = strlen(text);
    checkRange(region, offset, size);
    struct guards guards = guardsOfRange(region, offset, size);
    take(region, &guards);
    memcpy(region->bytes + offset, text, size);
    give(region, &guards);
}

static void hold(const struct region *region, uint64_t block, const char *heldLine, uint64_t offset, const char *text) {
    struct guards guards = {.count = 0};
    checkRange(region, offset, strlen(text));
    addGuard(region, &guards, block);
    take(region, &guards);
    memcpy(region->bytes + offset, text, strlen(text));
    say(heldLine);
    waitForLine();
    give(region, &guards);
    say("released");
}

static void churn(const struct region *region, uint64_t block) {
    struct guards guards = {.count = 0};
    volatile unsigned char *bytes = region->bytes + block * region->blockSize; /* byte by byte, for whoever looks too early */
    checkRange(region, block * region->blockSize, region->blockSize);
    addGuard(region, &guards, block);
    say("churning");
    for (unsigned char value = 1;; value++) {
        take(region, &guards);
        for (uint64_t i = 0; i < region->blockSize; i++) bytes[i] = value;
        give(region, &guards);
    }
}

int main(int argumentCount, char **arguments) {
    if (argumentCount < 6) usage();
    uint64_t shmKey = parseNumber(arguments[1], "SHMKEY");
    uint64_t semKey = parseNumber(arguments[2], "SEMKEY");
    uint64_t blockSize = parseNumber(arguments[3], "BLOCK_SIZE");
    const char *command = arguments[4];
    char **rest = arguments + 5;
    int restCount = argumentCount - 5;
    if (blockSize == 0) usage();

    int reads = strcmp(command, "read") == 0, peeks = strcmp(command, "peek") == 0;
    if ((reads || peeks) && restCount == 2) {
        struct region region = openRegion(shmKey, semKey, blockSize, 1);
        readRange(&region, parseNumber(rest[0], "OFFSET"), parseNumber(rest[1], "SIZE"), reads);
    } else if (strcmp(command, "write") == 0 && restCount == 2) {
        struct region region = openRegion(shmKey, semKey, blockSize, 0);
        writeRange(&region, parseNumber(rest[0], "OFFSET"), rest[1]);
    } else if (strcmp(command, "hold") == 0 && restCount == 1) {
        struct region region = openRegion(shmKey, semKey, blockSize, 1);
        char line[64];
        uint64_t block = parseNumber(rest[0], "BLOCK");
        snprintf(line, sizeof line, "held %llu", (unsigned long long)block);
        hold(&region, block, line, 0, "");
    } else if (strcmp(command, "holdwrite") == 0 && restCount == 3) {
        struct region region = openRegion(shmKey, semKey, blockSize, 0);
        hold(&region, parseNumber(rest[0], "BLOCK"), "held", parseNumber(rest[1], "OFFSET"), rest[2]);
    } else if (strcmp(command, "churn") == 0 && restCount == 1) {
        struct region region = openRegion(shmKey, semKey, blockSize, 0);
        churn(&region, parseNumber(rest[0], "BLOCK"));
    } else {
        usage();
    }
    return 0;
}
