/*
 * queue_baseline: what the kernel's message queues cost in C, to compare dsm's carrier of them with.
 *
 *   queue_baseline COUNT PEER_CPU
 *
 * Messages of 64 bytes over two private queues: sent and received by one process, COUNT times; streamed to another process,
 * which runs on PEER_CPU, COUNT of them; sent to and fro, COUNT / 10 times. Prints nanoseconds per message sent and received, and per round trip,
 * as one line of JSON. The queues go with this process, unless it is killed by a signal that cannot be caught.
 *
 * Exit status: 0 done, 1 a call failed, 2 usage, 128 + n ended by signal n.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 64, COUNT_MAX = 100000000 };

struct message {
    long type;
    char text[SIZE];
};

static volatile sig_atomic_t there = -1, back = -1;
static pid_t parent;
static int peerCpu;

static void removeQueues(void) {
    if (getpid() != parent) return;
    if (there != -1) msgctl(there, IPC_RMID, NULL);
    if (back != -1) msgctl(back, IPC_RMID, NULL);
}

static void onSignal(int number) {
    removeQueues();
    _exit(128 + number);
}

static void fail(const char *what) {
    fprintf(stderr, "queue_baseline: cannot %s: %s\n", what, strerror(errno));
    exit(1);
}

static double nowNs(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int makeQueue(void) {
    int id = msgget(IPC_PRIVATE, 0600);
    if (id == -1) fail("make a queue");
    return id;
}

static void sendTo(int id) {
    struct message message = {.type = 1};
    if (msgsnd(id, &message, SIZE, 0) == -1) fail("send");
}

static void receiveFrom(int id) {
    struct message message;
    if (msgrcv(id, &message, SIZE, 0, 0) != SIZE) fail("receive");
}

/* A child that receives `count` messages, and answers each of them or only the last. */
static pid_t startPeer(long count, int answersAll) {
    pid_t pid = fork();
    if (pid == -1) fail("fork");
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(peerCpu, &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus) == -1) fail("run on that CPU");
    for (long i = 1; i <= count; i++) {
        receiveFrom(there);
        if (answersAll || i == count) sendTo(back);
    }
    _exit(0);
}

static void waitFor(pid_t pid) {
    int status;
    if (waitpid(pid, &status, 0) == -1 || status != 0) fail("wait for the other process");
}

static double pairNs(long count) {
    double begin = nowNs();
    for (long i = 0; i < count; i++) {
        sendTo(there);
        receiveFrom(there);
    }
    return (nowNs() - begin) / (double)count;
}

static double streamNs(long count) {
    pid_t peer = startPeer(count, 0);
    double begin = nowNs();
    for (long i = 0; i < count; i++) sendTo(there);
    receiveFrom(back);
    double end = nowNs();
    waitFor(peer);
    return (end - begin) / (double)count;
}

static double roundTripNs(long count) {
    pid_t peer = startPeer(count, 1);
    double begin = nowNs();
    for (long i = 0; i < count; i++) {
        sendTo(there);
        receiveFrom(back);
    }
    double end = nowNs();
    waitFor(peer);
    return (end - begin) / (double)count;
}

int main(int argumentCount, char **arguments) {
    long count = argumentCount == 3 ? strtol(arguments[1], NULL, 10) : 0;
    if (count < 10 || count > COUNT_MAX) {
        fputs("usage: queue_baseline COUNT PEER_CPU, COUNT from 10\n", stderr);
        return 2;
    }
    peerCpu = atoi(arguments[2]);
    parent = getpid();
    for (int i = 0; i < 3; i++) signal((int[]){SIGINT, SIGTERM, SIGHUP}[i], onSignal);
    atexit(removeQueues);
    there = makeQueue();
    back = makeQueue();
    double pair = pairNs(count), stream = streamNs(count), roundTrip = roundTripNs(count / 10);
    printf("{\"pairNs\": %.1f, \"streamNs\": %.1f, \"roundTripNs\": %.1f}\n", pair, stream, roundTrip);
    return 0;
}
