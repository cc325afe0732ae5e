"""Runs a command at a terminal of its own and talks to it.

terminal.py COMMAND ARGS...     standard input: a JSON array of ["expect", TEXT] and ["send", TEXT]

Every wait has a deadline. The command must end after the last step; its status is printed as "ended: STATUS".
"""
import json
import os
import pty
import select
import sys
import time

DEADLINE_S = 10

steps = json.load(sys.stdin)
pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execvp(sys.argv[1], sys.argv[1:])

seen = ""


def more(until):
    """Reads once; False at the end of the output."""
    global seen
    ready, _, _ = select.select([terminal], [], [], max(0, until - time.monotonic()))
    if not ready:
        print("waited in vain; seen since:", repr(seen))
        os.kill(pid, 9)
        sys.exit(1)
    try:
        data = os.read(terminal, 65536)
    except OSError:
        return False
    seen += data.decode(errors="replace")
    return len(data) > 0


for action, text in steps:
    until = time.monotonic() + DEADLINE_S
    if action == "send":
        os.write(terminal, text.encode())
        continue
    while text not in seen:
        if not more(until):
            print("it ended before", repr(text), "came; seen since:", repr(seen))
            sys.exit(1)
    seen = seen[seen.index(text) + len(text):]

until = time.monotonic() + DEADLINE_S
while more(until):
    pass
_, status = os.waitpid(pid, 0)
print("ended:", os.waitstatus_to_exitcode(status))
sys.exit(0)
