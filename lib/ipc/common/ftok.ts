/** `ftok`: a key from a file and a number, bit for bit as glibc makes it (sysvipc/ftok.c). */

const ID_BITS = 0xff;
const DEVICE_BITS = 0xffn;
const INODE_BITS = 0xffffn;

/**
 * The key for the file with `inode` on `device` and project number `id`: its last 8 bits, the device's last 8, the inode's
 * last 16. Two files may have the same key; that is ftok's nature.
 *
 * @returns the key as dsm writes keys, without a sign: 0 to 2^32 - 1.
 */
export function ftok(inode: number | bigint, device: number | bigint, id: number): number {
  const low = Number(BigInt(device) & DEVICE_BITS) << 16 | Number(BigInt(inode) & INODE_BITS);
  return ((id & ID_BITS) << 24 | low) >>> 0;
}
