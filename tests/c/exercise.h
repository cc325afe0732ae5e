/* The messages of the registry exercise, as every program of it has them, in whatever language. */
#ifndef EXERCISE_H
#define EXERCISE_H

#include <sys/ipc.h>
#include <sys/msg.h>

enum { BIND = 1, QUERY = 2, SERVICE = 3, EXIT = 4 };

/* BIND and QUERY to the registry's first queue, and its results (their type is the server's number) on the second. */
struct about_server {
  long type;
  int id_server;
  int id_queue; /* -1: no such server */
};

/* SERVICE to a server. */
struct service {
  long type;
  int value;
};

#define BODY_SIZE(message) (sizeof(message) - sizeof(long))

#endif
