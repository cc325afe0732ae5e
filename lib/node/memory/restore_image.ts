/**
 * A server that begins with an image of a checkpoint.
 *
 *   - Only a fresh region is written to: bytes that a dead server left may be newer than any checkpoint, and are somebody's.
 *   - The image is verified in whole before a byte of it is used. Nobody has been told of the region yet, so no guard is
 *     taken.
 */
import { CheckpointError, SystemError } from "../../base/errors.ts";
import { formatSize } from "../../base/units.ts";
import { soundImage } from "../../checkpoint/choose.ts";
import { ImageReader } from "../../checkpoint/image_reader.ts";
import { closeRegion, leaveRegion, openRegion } from "../../memory/open.ts";
import type { RegionRequest } from "../../memory/open.ts";
import type { Region } from "../../memory/region.ts";

/** Which image. */
export interface ImageChoice {
  /** Where the checkpoints are. */
  readonly directory: string;
  /** A checkpoint's name, or `latest`. */
  readonly name: string;
  /** The image's index in the checkpoint; undefined: the one of the server's own `host:port`. */
  readonly index: number | undefined;
}

/**
 * Makes a region with the bytes of an image; what the image does not have is zero.
 *
 * @param server its `host:port`.
 * @throws what `openRegion` throws; SystemError EEXIST when there is a region already; CheckpointError when there is no such
 * image, it is damaged, or larger. Nothing is left behind then, and no byte changed.
 */
export async function openRestored(request: RegionRequest, server: string, choice: ImageChoice): Promise<Region> {
  const { checkpoint, record } = await soundImage(choice.directory, choice.name, server, choice.index);
  const { region, start } = await openRegion({ ...request, fill: 0 });
  if (start !== "fresh") {
    leaveRegion(region);
    throw new SystemError(
      "restore",
      "EEXIST",
      `shared memory key ${request.shmkey} has the bytes that an earlier server left, and a restore would overwrite them: ` +
        `start without --restore to go on with them, or remove them first: ipcrm -M ${request.shmkey}`,
    );
  }
  try {
    await using image = await ImageReader.open(checkpoint.path, record);
    await copyInto(region, image);
    return region;
  } catch (error) {
    await closeRegion(region);
    throw error;
  }
}

async function copyInto({ data }: Region, image: ImageReader): Promise<void> {
  const usedSize = await image.usedSize();
  if (usedSize > data.length) {
    throw new CheckpointError(
      `${image.path} does not fit: its last byte in use is at ${usedSize - 1}; start with --size ` +
        `${formatSize(image.record.size)}, as it was`,
    );
  }
  for await (const { offset, bytes } of image.extents()) {
    if (offset >= usedSize) break; // zeros that are stored as such, perhaps beyond the region
    data.set(bytes.subarray(0, usedSize - offset), offset);
  }
}
