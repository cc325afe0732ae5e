/* A server of the registry exercise in C: exercise_server server NUMBER REQUESTS RESULTS, the two last ids of queues. */
#include <stdio.h>
#include <stdlib.h>

#include "exercise.h"

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  int number = atoi(argv[2]), requests = atoi(argv[3]);
  int queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
  if (queue < 0) return perror("msgget"), 1;

  struct about_server bind = {BIND, number, queue};
  if (msgsnd(requests, &bind, BODY_SIZE(struct about_server), 0) < 0) {
    perror("msgsnd");
    msgctl(queue, IPC_RMID, NULL);
    return 1;
  }
  printf("bound to queue %d\n", queue);
  fflush(stdout);

  int resource = 0;
  for (;;) {
    union {
      struct service service;
      struct about_server about_server;
    } message;
    if (msgrcv(queue, &message, BODY_SIZE(message), 0, 0) < 0) return perror("msgrcv"), 1; /* EIDRM: it was removed */
    if (message.service.type == EXIT) break;
    if (message.service.type != SERVICE) continue;
    resource = message.service.value;
    printf("resource is %d\n", resource);
    fflush(stdout);
  }
  msgctl(queue, IPC_RMID, NULL);
  printf("final resource %d\n", resource);
  return 0;
}
