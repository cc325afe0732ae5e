/** Random tests that can be run again: the seed is printed when they fail, and DSM_TEST_SEED sets it. */
import { freshSeed, Random } from "../../lib/base/random.ts";

/** A test whose randomness has a seed. */
export function seededTest(name: string, run: (random: Random) => void | Promise<void>): void {
  Deno.test(name, async () => {
    const wanted = Deno.env.get("DSM_TEST_SEED");
    const random = new Random(wanted === undefined ? freshSeed() : Number(wanted));
    try {
      await run(random);
    } catch (error) {
      console.error(`${name}: failed with DSM_TEST_SEED=${random.seed}`);
      throw error;
    }
  });
}
