/**
 * TCP in one page: a server that says back what it hears, and a client. Nothing of dsm is in it: this is what a message
 * takes when there is nothing but a stream of bytes.
 *
 *     deno run -N examples/tcp_echo.ts server [PORT]                    7896 unless given; 0: the kernel chooses
 *     deno run -N examples/tcp_echo.ts client TEXT [HOST] [PORT]
 *
 * **A stream has no messages.** What is written at once may arrive in pieces, and what was written in two goes may arrive
 * as one. So the client says where its message ends, by closing its half of the connection, and reads until the server
 * closes the other. The server reads many clients at a time: each connection is a task of its own, and whoever is slow
 * keeps nobody waiting.
 */
const PORT = 7896;
/** Whoever says nothing for that long is let go. */
const SILENT_MS_MAX = 10_000;

async function echo(connection: Deno.TcpConn): Promise<void> {
  using _ = connection;
  const buffer = new Uint8Array(64 * 1024);
  for (;;) {
    const timer = setTimeout(() => connection.close(), SILENT_MS_MAX);
    const count = await connection.read(buffer).finally(() => clearTimeout(timer));
    if (count === null) return; // the client has closed its half
    for (let done = 0; done < count;) done += await connection.write(buffer.subarray(done, count));
  }
}

async function serve(port: number): Promise<void> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port });
  console.log(`ready tcp_echo 127.0.0.1:${listener.addr.port}`);
  for await (const connection of listener) {
    const { port } = connection.remoteAddr;
    console.error(`${port} came`);
    echo(connection).catch((error) => console.error(`${port}: ${error.message}`)).then(() =>
      console.error(`${port} went`)
    );
  }
}

/** Sends `text` to its end. */
async function tell(connection: Deno.TcpConn, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += await connection.write(bytes.subarray(done));
  await connection.closeWrite(); // our half: the server's next read says that there is no more
}

async function ask(text: string, hostname: string, port: number): Promise<string> {
  const connection = await Deno.connect({ hostname, port });
  const told = tell(connection, text); // while the answer is being read: a long one would else fill both directions
  const answer = await new Response(connection.readable).text();
  await told;
  return answer;
}

const [role, first, host = "127.0.0.1", port = `${PORT}`] = Deno.args;
try {
  if (role === "server") await serve(Number(first ?? PORT));
  else if (role === "client" && first !== undefined) console.log(await ask(first, host, Number(port)));
  else {
    console.error("tcp_echo.ts server [PORT] | client TEXT [HOST] [PORT]");
    Deno.exitCode = 2;
  }
} catch (error) {
  console.error(`${host}:${port}: ${(error as Error).message}`);
  Deno.exitCode = 1;
}
