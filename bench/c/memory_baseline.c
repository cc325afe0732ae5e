/*
 * memory_baseline: what the locks and copies of attached access cost in C, to compare dsm's attached access with.
 *
 *   memory_baseline [MILLISECONDS_PER_RUN]        20 without one
 *
 * It makes a private segment of 64 MiB and a private set of 500 semaphores of its own, nothing of dsm's, and does per
 * operation what an attached program must: take the guard of a random block in the padded form {guard, -1, UNDO},
 * {guard, 0}, touch the bytes, give it back as {guard, 0}, {guard, +1, UNDO}. A write makes the block's version odd before
 * and even after, as sequence-lock readers need it. Every operation is run several times, in turns with the others; the
 * medians are printed as one line of JSON, in nanoseconds per operation, with the least and the most.
 *
 * Whatever ends it, its objects go: the segment is marked for removal as soon as it is attached; the set is removed by
 * this process, and should it be killed, by a child that waits for its end.
 *
 * Exit status: 0 done, 1 a call failed, 2 usage, 128 + n ended by signal n.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REGION_SIZE = 64 << 20, BLOCK_SIZE = 4096, BLOCK_COUNT = REGION_SIZE / BLOCK_SIZE, GUARD_COUNT = 500 };
enum { SMALL = 64, LARGE = 1 << 20, RUN_COUNT = 7, PICK_COUNT = 4096, CALIBRATION_ROUNDS = 16 };

union semaphoreArgument { /* the caller of semctl declares it, says semctl(2) */
    int value;
    unsigned short *values;
};

static volatile sig_atomic_t semaphores = -1;
static pid_t janitor = -1;
static int janitorPipe = -1;
static unsigned char *region;
static uint32_t *versions; /* of the blocks, one word each, behind the data */
static unsigned char target[LARGE];
static uint32_t picks[PICK_COUNT]; /* random blocks, made before the clock runs */

static void removeSet(void) {
    if (semaphores != -1) semctl(semaphores, 0, IPC_RMID);
    semaphores = -1;
    if (janitorPipe != -1) close(janitorPipe);
    if (janitor != -1) waitpid(janitor, NULL, 0);
}

static void endBySignal(int number) {
    if (semaphores != -1) semctl(semaphores, 0, IPC_RMID); /* on Linux a system call and nothing more */
    _exit(128 + number);
}

static void fail(const char *what) {
    fprintf(stderr, "memory_baseline: cannot %s: %s\n", what, strerror(errno));
    exit(1);
}

/* A child that reads the set's id, then waits for this process to end, and removes the set if it is still there. */
static void startJanitor(void) {
    int ends[2], id;
    if (pipe(ends) == -1) fail("make a pipe");
    janitor = fork();
    if (janitor == -1) fail("fork");
    if (janitor == 0) {
        char never;
        setsid(); /* out of reach of the terminal's signals */
        close(ends[1]);
        if (read(ends[0], &id, sizeof id) == sizeof id) {
            while (read(ends[0], &never, 1) == -1 && errno == EINTR) {}
            semctl(id, 0, IPC_RMID);
        }
        _exit(0);
    }
    close(ends[0]);
    janitorPipe = ends[1];
}

static void makeObjects(void) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
    unsigned short ones[GUARD_COUNT];
    startJanitor();
    atexit(removeSet);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) signal(signals[i], endBySignal);

    size_t segmentSize = REGION_SIZE + BLOCK_COUNT * sizeof *versions;
    int segment = shmget(IPC_PRIVATE, segmentSize, 0600 | IPC_CREAT | SHM_NORESERVE);
    if (segment == -1) fail("make a segment of 64 MiB");
    region = shmat(segment, NULL, 0);
    shmctl(segment, IPC_RMID, NULL); /* it goes with its last attachment */
    if (region == (void *)-1) fail("attach the segment");
    versions = (uint32_t *)(region + REGION_SIZE);
    semaphores = semget(IPC_PRIVATE, GUARD_COUNT, 0600 | IPC_CREAT);
    if (semaphores == -1) fail("make a set of 500 semaphores");
    int id = semaphores;
    if (write(janitorPipe, &id, sizeof id) != sizeof id) fail("write to a pipe");
    for (int i = 0; i < GUARD_COUNT; i++) ones[i] = 1;
    if (semctl(id, 0, SETALL, (union semaphoreArgument){.values = ones}) == -1) fail("set the semaphores to 1");

    memset(region, 0x5a, REGION_SIZE); /* no page is touched for the first time while the clock runs */
    memset(versions, 0, segmentSize - REGION_SIZE);
    memset(target, 0x5a, sizeof target);
    srandom(1);
    for (int i = 0; i < PICK_COUNT; i++) picks[i] = (uint32_t)random() % BLOCK_COUNT;
}

static inline void semaphoreOperation(struct sembuf first, struct sembuf second) {
    struct sembuf operations[2] = {first, second};
    while (semop(semaphores, operations, 2) == -1)
        if (errno != EINTR) fail("move a semaphore");
}

static inline void take(uint32_t block) {
    unsigned short guard = (unsigned short)(block % GUARD_COUNT);
    semaphoreOperation((struct sembuf){guard, -1, SEM_UNDO}, (struct sembuf){guard, 0, 0});
}

static inline void give(uint32_t block) {
    unsigned short guard = (unsigned short)(block % GUARD_COUNT);
    semaphoreOperation((struct sembuf){guard, 0, 0}, (struct sembuf){guard, +1, SEM_UNDO});
}

/* The compiler may not drop, merge or move copies across this. */
static inline void keepCopies(void) { __asm__ volatile("" ::"r"(target), "r"(region) : "memory"); }

static void lockedRead(uint32_t block, size_t size) {
    take(block);
    memcpy(target, region + (size_t)block * BLOCK_SIZE, size);
    keepCopies();
    give(block);
}

static void lockedRead64(uint32_t block) { lockedRead(block, SMALL); }
static void lockedRead4KiB(uint32_t block) { lockedRead(block, BLOCK_SIZE); }

static void lockedWrite64(uint32_t block) {
    uint32_t *version = &versions[block];
    take(block);
    __atomic_store_n(version, *version + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy(region + (size_t)block * BLOCK_SIZE, target, SMALL);
    keepCopies();
    __atomic_store_n(version, *version + 1, __ATOMIC_RELEASE);
    give(block);
}

static void sequenceRead64(uint32_t block) {
    const uint32_t *version = &versions[block];
    uint32_t before;
    do {
        before = __atomic_load_n(version, __ATOMIC_ACQUIRE);
        memcpy(target, region + (size_t)block * BLOCK_SIZE, SMALL);
        keepCopies();
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (before % 2 != 0 || __atomic_load_n(version, __ATOMIC_RELAXED) != before);
}

static void copy1MiB(uint32_t block) {
    memcpy(target, region + (size_t)block % (BLOCK_COUNT - LARGE / BLOCK_SIZE + 1) * BLOCK_SIZE, LARGE);
    keepCopies();
}

struct measurement {
    const char *name;
    void (*operation)(uint32_t block);
    uint64_t rounds; /* of one run */
    double nanoseconds[RUN_COUNT];
};

static double runNs(const struct measurement *measurement, uint64_t rounds) {
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (uint64_t i = 0; i < rounds; i++) measurement->operation(picks[i % PICK_COUNT]);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) / (double)rounds;
}

static int compareDoubles(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

int main(int argumentCount, char **arguments) {
    static struct measurement measurements[] = {{.name = "lockedRead64", .operation = lockedRead64},
                                                {.name = "lockedWrite64", .operation = lockedWrite64},
                                                {.name = "lockedRead4KiB", .operation = lockedRead4KiB},
                                                {.name = "sequenceRead64", .operation = sequenceRead64},
                                                {.name = "copy1MiB", .operation = copy1MiB}};
    enum { MEASUREMENT_COUNT = sizeof measurements / sizeof *measurements };
    char *end = "";
    double milliseconds = argumentCount < 2 ? 20 : strtod(arguments[1], &end);
    if (argumentCount > 2 || *end != '\0' || !(milliseconds > 0 && milliseconds <= 60000)) {
        fputs("usage: memory_baseline [MILLISECONDS_PER_RUN]\n", stderr);
        return 2;
    }
    makeObjects();
    for (struct measurement *one = measurements; one < measurements + MEASUREMENT_COUNT; one++) {
        one->rounds = (uint64_t)(milliseconds * 1e6 / runNs(one, CALIBRATION_ROUNDS));
        one->rounds = (uint64_t)(milliseconds * 1e6 / runNs(one, one->rounds / 10 + 1)) + 1; /* a second time, warm */
    }
    for (int run = 0; run < RUN_COUNT; run++)
        for (struct measurement *one = measurements; one < measurements + MEASUREMENT_COUNT; one++)
            one->nanoseconds[run] = runNs(one, one->rounds);
    printf("{\"runs\":%d", RUN_COUNT);
    for (struct measurement *one = measurements; one < measurements + MEASUREMENT_COUNT; one++) {
        qsort(one->nanoseconds, RUN_COUNT, sizeof *one->nanoseconds, compareDoubles);
        printf(",\"%sNs\":%.1f,\"%sMinNs\":%.1f,\"%sMaxNs\":%.1f", one->name, one->nanoseconds[RUN_COUNT / 2], one->name,
               one->nanoseconds[0], one->name, one->nanoseconds[RUN_COUNT - 1]);
    }
    puts("}");
    return fflush(stdout) == EOF;
}
