/* A client of the simple dialect: makes a segment, writes a text, reads it back, removes the segment.
 *
 *   cc -Iinclude -o simple_client examples/simple_client.c && ./simple_client 8080 1234 hello
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "distributed_shm.h"

static int server;

/* One call: sends the words and `sent` bytes of `data`, receives the answer's into `data`. An errno ends the program. */
static int call(uint32_t command, int shmid, int flags, uint32_t offset, uint32_t size, uint32_t sent, void *data) {
  shm_header_t header = {htonl(command), htonl(size), (int32_t)htonl(shmid), (int32_t)htonl(flags), htonl(offset)};
  shm_response_t reply;
  struct iovec both[] = {{&header, sizeof header}, {data, sent}};
  if (writev(server, both, 2) != (ssize_t)(sizeof header + sent) ||
      recv(server, &reply, sizeof reply, MSG_WAITALL) != sizeof reply) {
    perror("the connection");
    exit(1);
  }
  size_t given = ntohl(reply.data_size);
  if (given > 0 && recv(server, data, given, MSG_WAITALL) != (ssize_t)given) exit(1);
  if (reply.error == 0) return (int)ntohl(reply.result);
  fprintf(stderr, "command %u: %s\n", command, strerror(ntohl(reply.error)));
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "usage: %s PORT KEY TEXT\n", argv[0]), 2;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  server = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(server, (struct sockaddr *)&address, sizeof address) != 0) return perror("connect"), 1;

  uint32_t length = strlen(argv[3]);
  uint64_t size = 4096; /* little-endian on the wire, as it is on this processor */
  struct shmid_ds status;
  char text[4096] = "";
  int id = call(CMD_CREATE_SEGMENT, atoi(argv[2]), IPC_CREAT | IPC_EXCL | 0600, 0, sizeof size, sizeof size, &size);
  call(CMD_ATTACH_SEGMENT, id, 0, 0, 0, 0, NULL);
  call(CMD_WRITE_DATA, id, 0, 100, length, length, argv[3]);
  call(CMD_READ_DATA, id, 0, 100, length, 0, text);
  call(CMD_SHMCTL, id, IPC_STAT, 0, 0, 0, &status);
  printf("%s: %zu bytes, %lu attached, mode %o\n", text, status.shm_segsz, status.shm_nattch, status.shm_perm.mode);
  call(CMD_DETACH_SEGMENT, id, 0, 0, 0, 0, NULL);
  call(CMD_REMOVE_SEGMENT, id, 0, 0, 0, 0, NULL);
  return 0;
}
