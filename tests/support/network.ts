/**
 * Another host, for tests: a network namespace at the other end of a cable that only this test has. Addresses are not
 * loopback, and nothing leaves the machine.
 */
import { have, works } from "./machine.ts";

/** Whether a test may make one here. */
export const HAS_NETWORK: boolean = have("ip") && works("unshare", "--net", "ip", "link", "add", "a0", "type", "veth");

function ip(...args: string[]): void {
  const { success, stderr } = new Deno.Command("ip", { args, stdout: "null", stderr: "piped" }).outputSync();
  if (!success) throw new Error(`ip ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** See the head of this file. */
export class TestNetwork implements Disposable {
  /** This side's address. */
  readonly here: string;
  /** The other host's. */
  readonly there: string;
  readonly #name: string;

  constructor() {
    const number = crypto.getRandomValues(new Uint16Array(1))[0] as number & 0x3fff;
    const subnet = `10.77.${(number >> 6) & 0xff}`;
    const first = (number & 0x3f) << 2;
    this.here = `${subnet}.${first + 1}`;
    this.there = `${subnet}.${first + 2}`;
    this.#name = `dsm-test-${Deno.pid}-${number}`;
    const cable = `dsm${Deno.pid.toString(36)}${number.toString(36)}`.slice(0, 15);
    ip("netns", "add", this.#name);
    try {
      ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", this.#name);
      ip("addr", "add", `${this.here}/30`, "dev", cable);
      ip("link", "set", cable, "up");
      ip("-n", this.#name, "addr", "add", `${this.there}/30`, "dev", "eth0");
      for (const device of ["eth0", "lo"]) ip("-n", this.#name, "link", "set", device, "up");
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** `command` as it is run on the other host. */
  overThere(...command: string[]): string[] {
    return ["ip", "netns", "exec", this.#name, ...command];
  }

  /** The cable goes with the namespace. */
  [Symbol.dispose](): void {
    ip("netns", "del", this.#name);
  }
}
