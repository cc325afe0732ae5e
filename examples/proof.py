#!/usr/bin/env python3
"""Reads some bytes of a memory server beyond this host, proving the secret: proof.py HOST PORT SECRET_FILE OFFSET SIZE

Written from docs/PROTOCOL.md alone, with nothing but Python's own library.
"""
import hashlib
import hmac
import os
import socket
import struct
import sys

HELLO, WELCOME, ERROR, CHALLENGE, PROVE, READ, READ_REPLY = 1, 2, 3, 6, 7, 8, 9


def number(value):  # every integer as 32 or 64 bits: as good as any other msgpack
    return b"\xce" + struct.pack(">I", value) if value < 2**32 else b"\xcf" + struct.pack(">Q", value)


def binary(value):
    return b"\xc4" + bytes([len(value)]) + value


def frame(kind, *fields):  # id 1, incarnation 0, epoch 0
    header = bytes([0x94 + len(fields)]) + number(1) + number(kind) + number(0) + number(0) + b"".join(fields)
    return struct.pack(">II", len(header), 0) + header


def receive(size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            sys.exit("the server closed the connection")
        data += more
    return data


def receive_frame():
    start = receive(8)
    return start + receive(sum(struct.unpack(">II", start)))


def tag(key, count, body):
    return hmac.digest(key, struct.pack(">QI", count, len(body)) + body, "sha256")[:16]


def receive_record(key, count):
    (length,) = struct.unpack(">I", receive(4))
    body, shown = receive(length), receive(16)
    if not hmac.compare_digest(tag(key, count, body), shown):
        sys.exit("the server does not know the secret, or somebody changed what it sent")
    return body


host, port, secret_file, offset, size = sys.argv[1:]
secret = open(secret_file, "rb").read().strip()
connection = socket.create_connection((host, int(port)), timeout=10)

hello = frame(HELLO, number(1), number(1), b"\xa5proof", binary(b""), binary(os.urandom(32)), number(os.getuid()))
connection.sendall(b"DSM1" + hello)
assert receive(4) == b"DSM1"
challenge = receive_frame()
transcript = b"".join([b"dsm 1"] + [struct.pack(">I", len(each)) + each for each in (hello, challenge)])
key = hmac.digest(secret, hashlib.sha256(transcript).digest(), "sha256")
to_server, to_client = (hmac.digest(key, label, "sha256") for label in (b"client to server", b"server to client"))

connection.sendall(frame(PROVE, binary(hmac.digest(key, b"client proof", "sha256"))))
receive_record(to_client, 0)  # the welcome: the server knows the secret too
body = frame(READ, number(int(offset)), number(int(size)))
connection.sendall(struct.pack(">I", len(body)) + body + tag(to_server, 0, body))
reply, count = b"", 1
while len(reply) < 8 or len(reply) < 8 + sum(struct.unpack(">II", reply[:8])):
    reply += receive_record(to_client, count)
    count += 1
sys.stdout.buffer.write(reply[8 + struct.unpack(">I", reply[:4])[0]:])
