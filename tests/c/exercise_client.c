/* A client of the registry exercise in C: exercise_client client NUMBER REQUESTS RESULTS SERVERS MESSAGES INTERVAL_MS. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "exercise.h"

enum { VALUE_MAX = 10, ASK_AGAIN_MS = 50, ASK_COUNT_MAX = 200 };

/* The queue of a server, asked for until it is bound; -1 when it never is. */
static int query(int requests, int results, int server) {
  for (int i = 0; i < ASK_COUNT_MAX; i++) {
    struct about_server message = {QUERY, server, 0};
    if (msgsnd(requests, &message, BODY_SIZE(message), 0) < 0) return -1;
    if (msgrcv(results, &message, BODY_SIZE(message), server, 0) < 0) return -1;
    if (message.id_queue >= 0) return message.id_queue;
    usleep(ASK_AGAIN_MS * 1000);
  }
  return -1;
}

int main(int argc, char **argv) {
  if (argc != 8) return 2;
  int requests = atoi(argv[3]), results = atoi(argv[4]), servers = atoi(argv[5]);
  int messages = atoi(argv[6]), interval_ms = atoi(argv[7]);
  srand((unsigned)getpid());
  int server = 1 + rand() % servers;
  int queue = query(requests, results, server);
  if (queue < 0) return perror("query"), 1;
  printf("server %d has queue %d\n", server, queue);
  for (int i = 0; i < messages; i++) {
    if (i > 0) usleep((useconds_t)interval_ms * 1000);
    struct service message = {SERVICE, rand() % (VALUE_MAX + 1)};
    if (msgsnd(queue, &message, sizeof message.value, 0) < 0) return perror("msgsnd"), 1;
    printf("sent %d to server %d\n", message.value, server);
    fflush(stdout);
  }
  return 0;
}
