/**
 * Segments made, attached, detached and removed, one after the other by each client, as a program of its own.
 *
 *     segment_lives.ts CONFIG CLIENT_COUNT SECONDS
 *
 * Every client has its own connection to the config server. Prints the lives per second of all together.
 */
import { connect, IPC_PRIVATE, IPC_RMID } from "../../mod.ts";
import { measureLives } from "./lives.ts";

const [config = "", clientCount, seconds] = Deno.args;
await using stack = new AsyncDisposableStack();
const clients = await Promise.all(Array.from({ length: Number(clientCount) }, async () => {
  return stack.use(await connect({ config }));
}));
await measureLives(
  Number(seconds),
  clients.map((cluster) => async (size) => {
    const id = await cluster.shmget(IPC_PRIVATE, size, 0o600);
    await cluster.shmdt(await cluster.shmat(id));
    await cluster.shmctl(id, IPC_RMID);
  }),
);
