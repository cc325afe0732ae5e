/** The segments of this host's kernel. */
import { PAGE_SIZE, pageCount } from "../../lib/ipc/segments/limits.ts";
import type { Limits } from "../../lib/ipc/segments/limits.ts";
import { keyText, refusal } from "../../lib/ipc/common/refusal.ts";
import { systemError } from "../../lib/sys/libc.ts";
import { createSegment, findSegment, removeSegment } from "../../lib/sys/shared_memory.ts";
import { hostSegments, kernelSetting } from "../../lib/sys/sysvipc.ts";
import type { ListedSegment, Segments, SegmentsUsage } from "./segments.ts";

/** Linux makes no segment of less. (It is not a setting.) */
const SHMMIN = 1;

/** See the head of this file. */
export class HostSegments implements Segments {
  /** All of them. */
  list(): Promise<readonly ListedSegment[]> {
    return Promise.resolve(hostSegments());
  }

  /** The kernel's settings. */
  limits(): Promise<Omit<Limits, "memlock">> {
    return Promise.resolve({
      shmmax: kernelSetting("shmmax"),
      shmmin: SHMMIN,
      shmmni: Number(kernelSetting("shmmni")),
      shmall: kernelSetting("shmall"),
    });
  }

  /** The sum of the list. */
  usage(): Promise<SegmentsUsage> {
    const segments = hostSegments();
    const sum = (pages: (each: typeof segments[number]) => number) =>
      segments.reduce((total, each) => total + pages(each), 0);
    return Promise.resolve({
      segmentCount: segments.length,
      pageCount: sum(({ size }) => pageCount(size)),
      residentPageCount: sum(({ residentSize }) => residentSize / PAGE_SIZE),
      swappedPageCount: sum(({ swappedSize }) => swappedSize / PAGE_SIZE),
    });
  }

  /** `shmget`. */
  make(key: number, size: number, mode: number): Promise<number> {
    const id = createSegment(key, size, mode);
    if (id === undefined) throw refusal("shmget", "EEXIST", `make a segment with key ${keyText(key)}`, "there is one");
    return Promise.resolve(id);
  }

  /** `shmget`. */
  find(key: number): Promise<number> {
    const id = findSegment(key);
    if (id === undefined) throw refusal("shmget", "ENOENT", `find key ${keyText(key)}`, "ipcs -m shows all there are");
    return Promise.resolve(id);
  }

  /** IPC_RMID. */
  remove(id: number): Promise<void> {
    if (!removeSegment(id)) throw systemError("shmctl", `remove shared memory id ${id}`);
    return Promise.resolve();
  }

  /** Nothing is held. */
  async [Symbol.asyncDispose](): Promise<void> {}
}
