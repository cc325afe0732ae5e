"""A client of the simple dialect: makes a segment, writes a text, reads it back, removes the segment.

    python3 examples/simple_client.py 8080 1234 hello
"""
import os
import socket
import struct
import sys

CREATE, ATTACH, DETACH, REMOVE, READ, WRITE, STATUS, SHMCTL = range(1, 9)
IPC_CREAT, IPC_EXCL = 0o1000, 0o2000


class Server:
    """One connection; what it attaches is detached when it ends."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.stream = self.socket.makefile("rb")

    def call(self, command, shmid=0, flags=0, offset=0, data=b"", size=None):
        """The result and the data of one call. An errno is raised as OSError."""
        size = len(data) if size is None else size
        self.socket.sendall(struct.pack(">IIiiI", command, size, shmid, flags, offset) + data)
        result, error, given = struct.unpack(">iII", self.stream.read(12))
        answer = self.stream.read(given)
        if error:
            raise OSError(error, os.strerror(error))
        return result, answer


def main(port, key, text):
    server = Server(port)
    data = text.encode()
    shmid, _ = server.call(CREATE, key, IPC_CREAT | IPC_EXCL | 0o600, data=struct.pack("<Q", 4096))
    server.call(ATTACH, shmid)
    server.call(WRITE, shmid, offset=100, data=data)
    _, back = server.call(READ, shmid, offset=100, size=len(data))
    size, nattch, mode = struct.unpack("<QII", server.call(STATUS, shmid)[1])
    print(f"{back.decode()}: {size} bytes, {nattch} attached, mode {mode:o}")
    server.call(DETACH, shmid)
    server.call(REMOVE, shmid)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: simple_client.py PORT KEY TEXT")
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
