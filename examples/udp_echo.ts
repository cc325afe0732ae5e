/**
 * UDP in one page: a server that sends back each datagram, and a client that knows that either may be lost. Nothing of dsm
 * is in it: what the client does here by hand, a channel of dsm does for every request.
 *
 *     deno run -N examples/udp_echo.ts server [PORT]                    6789 unless given; 0: the kernel chooses
 *     deno run -N examples/udp_echo.ts client TEXT [HOST] [PORT]
 *
 * **A datagram arrives whole, or not at all, or twice, or late.** So the client numbers what it asks, asks again when no
 * answer comes in time, and takes no answer that has another number: that of an earlier question may still be on its way.
 * The server keeps nothing in mind; asking it twice does no harm.
 */
import { createSocket } from "node:dgram";
import type { Socket } from "node:dgram";
import { once } from "node:events";

const PORT = 6789;
const NUMBER_SIZE = 4;
/** What fits in one datagram over IPv4, behind its headers and our number. */
const TEXT_SIZE_MAX = 65_507 - NUMBER_SIZE;
const TRIES_MAX = 5;
/** How long the first try waits; each one after it twice as long. */
const FIRST_WAIT_MS = 100;

async function serve(port: number): Promise<void> {
  const socket = createSocket("udp4");
  socket.on("message", (datagram, sender) => {
    socket.send(datagram, sender.port, sender.address);
    console.error(`${datagram.length} bytes from ${sender.port}`);
  });
  socket.bind(port, "127.0.0.1");
  await once(socket, "listening");
  console.log(`ready udp_echo 127.0.0.1:${socket.address().port}`);
}

/** Waits for the datagram that begins with `number`; undefined when it does not come in time. */
async function answerTo(number: number, socket: Socket, waitMs: number): Promise<Uint8Array | undefined> {
  const answer = Promise.withResolvers<Uint8Array | undefined>();
  const hear = (datagram: Uint8Array): void => {
    const { buffer, byteOffset, length } = datagram;
    if (length < NUMBER_SIZE || new DataView(buffer, byteOffset).getUint32(0) !== number) return;
    answer.resolve(datagram.subarray(NUMBER_SIZE));
  };
  const timer = setTimeout(() => answer.resolve(undefined), waitMs);
  socket.on("message", hear);
  try {
    return await answer.promise;
  } finally {
    clearTimeout(timer);
    socket.off("message", hear);
  }
}

async function ask(text: string, host: string, port: number): Promise<string> {
  const body = new TextEncoder().encode(text);
  if (body.length > TEXT_SIZE_MAX) {
    throw new Error(`${body.length} bytes do not fit in a datagram: ${TEXT_SIZE_MAX} do`);
  }
  const number = crypto.getRandomValues(new Uint32Array(1))[0] as number;
  const question = new Uint8Array(NUMBER_SIZE + body.length);
  new DataView(question.buffer).setUint32(0, number);
  question.set(body, NUMBER_SIZE);
  const socket = createSocket("udp4");
  try {
    for (let tries = 1; tries <= TRIES_MAX; tries++) {
      socket.send(question, port, host);
      const answer = await answerTo(number, socket, FIRST_WAIT_MS * 2 ** (tries - 1));
      if (answer) return new TextDecoder().decode(answer);
      console.error(`no answer to try ${tries} of ${TRIES_MAX}`);
    }
  } finally {
    socket.close();
  }
  throw new Error(`${host}:${port} does not answer: nobody is there, or ${TRIES_MAX} datagrams were lost`);
}

const [role, first, host = "127.0.0.1", port = `${PORT}`] = Deno.args;
if (role === "server") await serve(Number(first ?? PORT));
else if (role === "client" && first !== undefined) {
  try {
    console.log(await ask(first, host, Number(port)));
  } catch (error) {
    console.error((error as Error).message);
    Deno.exitCode = 1;
  }
} else {
  console.error("udp_echo.ts server [PORT] | client TEXT [HOST] [PORT]");
  Deno.exitCode = 2;
}
