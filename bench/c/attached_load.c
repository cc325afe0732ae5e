/*
 * attached_load: a program attached by key that works on a region while the server of that region is measured over TCP.
 *
 *   attached_load SHMKEY SEMKEY REGION_BYTES OPERATIONS_PER_SECOND
 *
 * Each operation takes the guards of a random 64-byte range (one in ten straddles two blocks of 4,096 bytes), in one semop of
 * the padded form, reads the bytes, writes the same bytes back and gives the guards back; what the region holds does not
 * change. Operations come in bursts, one every millisecond. Prints "ready", works until standard input has a line or
 * ends, and prints how many operations it did.
 *
 * Exit status: 0 done, 1 a call failed, 2 usage.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/shm.h>

enum { BLOCK_SIZE = 4096, SIZE = 64, BURSTS_PER_SECOND = 1000, OPERATIONS_MAX = 1000000 };

union semaphoreArgument { /* the caller of semctl declares it, says semctl(2) */
    int value;
    struct semid_ds *status;
};

static int semaphores;
static uint64_t guardCount;
static unsigned char *region;

static void fail(const char *what) {
    fprintf(stderr, "attached_load: cannot %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t parseNumber(const char *text, uint64_t max) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    if (errno == 0 && end != text && *end == '\0' && *text != '-' && value <= max) return value;
    fprintf(stderr, "attached_load: not a number up to %llu: %s\n", (unsigned long long)max, text);
    exit(2);
}

static void attach(key_t shmKey, key_t semKey, uint64_t regionSize) {
    struct shmid_ds segment;
    struct semid_ds set;
    int id = shmget(shmKey, 0, 0);
    if (id == -1 || shmctl(id, IPC_STAT, &segment) == -1) fail("find the shared memory");
    if (segment.shm_segsz < regionSize) errno = ERANGE, fail("use a segment smaller than REGION_BYTES");
    region = shmat(id, NULL, 0);
    if (region == (void *)-1) fail("attach the shared memory");
    semaphores = semget(semKey, 0, 0);
    if (semaphores == -1 || semctl(semaphores, 0, IPC_STAT, (union semaphoreArgument){.status = &set}) == -1)
        fail("find the semaphore set");
    guardCount = set.sem_nsems;
}

/* Two operations per guard; `first` is -1 to take and 0 to give. */
static void move(uint64_t block, uint64_t lastBlock, short first, short second) {
    struct sembuf operations[4];
    unsigned short guards[2] = {(unsigned short)(block % guardCount), (unsigned short)(lastBlock % guardCount)};
    size_t count = 0;
    for (int i = 0; i < (guards[0] == guards[1] ? 1 : 2); i++) {
        operations[count++] = (struct sembuf){guards[i], first, first != 0 ? SEM_UNDO : 0};
        operations[count++] = (struct sembuf){guards[i], second, second != 0 ? SEM_UNDO : 0};
    }
    while (semop(semaphores, operations, count) == -1)
        if (errno != EINTR) fail("move the guards");
}

static void touch(uint64_t offset) {
    unsigned char bytes[SIZE];
    uint64_t first = offset / BLOCK_SIZE, last = (offset + SIZE - 1) / BLOCK_SIZE;
    move(first, last, -1, 0);
    memcpy(bytes, region + offset, SIZE);
    __asm__ volatile("" ::"r"(bytes) : "memory"); /* really read, and really written back */
    memcpy(region + offset, bytes, SIZE);
    move(first, last, 0, +1);
}

int main(int argumentCount, char **arguments) {
    if (argumentCount != 5) {
        fputs("usage: attached_load SHMKEY SEMKEY REGION_BYTES OPERATIONS_PER_SECOND\n", stderr);
        return 2;
    }
    uint64_t regionSize = parseNumber(arguments[3], INT64_MAX), perSecond = parseNumber(arguments[4], OPERATIONS_MAX);
    uint64_t blocks = regionSize / BLOCK_SIZE, done = 0, random = 1, owed = 0;
    if (blocks < 2) errno = EINVAL, fail("work on less than two blocks");
    attach((key_t)parseNumber(arguments[1], UINT32_MAX), (key_t)parseNumber(arguments[2], UINT32_MAX), regionSize);
    puts("ready");
    fflush(stdout);
    struct pollfd input = {.fd = 0, .events = POLLIN};
    while (poll(&input, 1, 1000 / BURSTS_PER_SECOND) == 0) {
        for (owed += perSecond; owed >= BURSTS_PER_SECOND; owed -= BURSTS_PER_SECOND, done++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            uint64_t block = (random >> 33) % (blocks - 1);
            touch(done % 10 == 0 ? (block + 1) * BLOCK_SIZE - SIZE / 2 : block * BLOCK_SIZE + (random >> 20) % 64 * SIZE);
        }
    }
    printf("%llu\n", (unsigned long long)done);
    return 0;
}
