/** A TCP proxy that cuts connections where a test says: after so many bytes from the server, or now; or meddles with them. */

/** What goes on instead of some bytes, and whether the connection is cut behind it. */
export interface Meddled {
  readonly bytes: Uint8Array;
  readonly isCut: boolean;
}

/** See the head of this file. */
export class CuttingProxy implements AsyncDisposable {
  readonly port: number;
  /** Connections so far. */
  connectionCount = 0;
  /** How many bytes of the server's the next connections let through before they are cut; those after these: all. */
  readonly cuts: number[] = [];
  /** What becomes of bytes from a client on their way; when undefined they pass as they are. */
  meddle: ((bytes: Uint8Array) => Meddled) | undefined;
  readonly #listener: Deno.TcpListener;
  readonly #target: number;
  readonly #open = new Set<Deno.TcpConn>();
  readonly #done: Promise<void>;

  constructor(target: number) {
    this.#target = target;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.port = this.#listener.addr.port;
    this.#done = this.#accept();
  }

  async #accept(): Promise<void> {
    const links: Promise<void>[] = [];
    for await (const client of this.#listener) {
      this.connectionCount++;
      links.push(this.#link(client));
    }
    await Promise.all(links);
  }

  async #link(client: Deno.TcpConn): Promise<void> {
    this.#open.add(client);
    try {
      const server = await Deno.connect({ hostname: "127.0.0.1", port: this.#target });
      this.#open.add(server);
      const cut = (): void => [client, server].forEach((stream) => this.#close(stream));
      await Promise.all([
        pipe(client, server, Infinity, (bytes) => this.meddle?.(bytes) ?? { bytes, isCut: false }).finally(cut),
        pipe(server, client, this.cuts.shift() ?? Infinity).finally(cut),
      ]);
    } catch {
      this.#close(client); // the server is away
    }
  }

  #close(stream: Deno.TcpConn): void {
    if (this.#open.delete(stream)) stream.close();
  }

  /** Cuts every connection there is. */
  cutAll(): void {
    for (const stream of [...this.#open]) this.#close(stream);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.cutAll();
    await this.#done;
  }
}

/** Copies at most `most` bytes; ends quietly however the streams end. */
async function pipe(
  from: Deno.TcpConn,
  to: Deno.TcpConn,
  most: number,
  meddle: (bytes: Uint8Array) => Meddled = (bytes) => ({ bytes, isCut: false }),
): Promise<void> {
  const buffer = new Uint8Array(65_536);
  try {
    for (let passed = 0; passed < most;) {
      const count = await from.read(buffer);
      if (count === null) return;
      const size = Math.min(count, most - passed);
      const { bytes, isCut } = meddle(buffer.subarray(0, size));
      for (let at = 0; at < bytes.length;) at += await to.write(bytes.subarray(at));
      if (isCut) return;
      passed += size;
    }
  } catch {
    // one of them is closed: that is what this proxy is for
  }
}
