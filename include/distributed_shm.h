/* The simple dialect of dsm for programs in C: docs/PROTOCOL.md tells it, examples/simple_client.c speaks it.
 *
 * Made by `deno run -A tools/docs.ts` from lib/wire/simple.ts; do not edit by hand.
 *
 * A request is a shm_header_t and then its data; the reply is a shm_response_t and then its data. The words of both are in
 * network order, numbers in the data are little-endian. Sizes are in bytes.
 */
#ifndef DISTRIBUTED_SHM_H
#define DISTRIBUTED_SHM_H

#include <stdint.h>

typedef enum {
  /* shmid: the key; flags: of shmget; sends: the size, 8 bytes; result: the id */
  CMD_CREATE_SEGMENT = 1,
  /* shmid: the id; flags: of shmat; result: 0 */
  CMD_ATTACH_SEGMENT = 2,
  /* shmid: the id; result: 0 */
  CMD_DETACH_SEGMENT = 3,
  /* shmid: the id; result: 0 */
  CMD_REMOVE_SEGMENT = 4,
  /* shmid: the id; sends: nothing: size is how many bytes are wanted; result: how many bytes; gives: the bytes from offset */
  CMD_READ_DATA = 5,
  /* shmid: the id; sends: the bytes for offset; result: how many bytes */
  CMD_WRITE_DATA = 6,
  /* shmid: the id; result: 0; gives: size (8 bytes), nattch (4), mode (4) */
  CMD_GET_STATUS = 7,
  /* shmid: the id; flags: the command: 0 IPC_RMID, 1 IPC_SET, 2 IPC_STAT; sends: with IPC_SET a struct shmid_ds; result: 0; gives: with IPC_STAT a struct shmid_ds */
  CMD_SHMCTL = 8,
} shm_command_t;

/* The most data of one request or reply. */
#define SHM_DATA_SIZE_MAX 67108864u

typedef struct {
  uint32_t command; /* a shm_command_t */
  uint32_t size;    /* bytes of data that follow; with CMD_READ_DATA, where none does, how many are wanted */
  int32_t shmid;    /* the segment; with CMD_CREATE_SEGMENT its key */
  int32_t flags;
  uint32_t offset; /* in the segment, for CMD_READ_DATA and CMD_WRITE_DATA */
} shm_header_t;

typedef struct {
  int32_t result;     /* -1 when error is not 0 */
  uint32_t error;     /* 0, or an errno */
  uint32_t data_size; /* bytes of data that follow */
} shm_response_t;

_Static_assert(sizeof(shm_header_t) == 20, "as on the wire");
_Static_assert(sizeof(shm_response_t) == 12, "as on the wire");

/* A struct shmid_ds travels as Linux has it on 64-bit processors: 112 bytes. */

#endif
