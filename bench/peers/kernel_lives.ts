/**
 * The same as segment_lives.ts with the kernel's own segments, by FFI: `kernel_lives.ts SECONDS`. The attach asks for the
 * segment's size besides, and one byte is written, so that its page is zeroed as ours are.
 */
import { createSegment, IPC_PRIVATE, removeSegment, SharedMemory } from "../../lib/sys/shared_memory.ts";
import { measureLives } from "./lives.ts";

const [seconds] = Deno.args;
await measureLives(Number(seconds), [(size) => {
  const id = createSegment(IPC_PRIVATE, size, 0o600);
  if (id === undefined) throw new Error("a private key is never taken");
  try {
    using memory = SharedMemory.attach(id);
    memory.bytes[0] = 1;
  } finally {
    removeSegment(id);
  }
}]);
