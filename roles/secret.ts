/** `dsm secret`: what the programs of a cluster prove to each other beyond one host. */
import { command } from "../lib/cli/command.ts";
import { say } from "../lib/cli/output.ts";
import { makeSecret } from "../lib/node/common/credentials.ts";

const make = command({
  name: "new",
  about: "make a secret in a new file that only you may read",
  details: "32 random bytes as a line of hexadecimal digits. A file that is there is never overwritten.",
  examples: [["dsm secret new ~/.dsm-secret", "then copy it to the other hosts: scp -p"]],
  args: { file: { kind: "string", about: "the new file" } },
  run({ file }) {
    makeSecret(file);
    say(`made ${file}: copy it to every host of the cluster (scp -p), and name it with --secret or DSM_SECRET_FILE`);
    return Promise.resolve(0);
  },
});

/** See the head of this file. */
export const secret = command({
  name: "secret",
  about: "make the secret that a cluster over several hosts needs",
  details: "Whoever has it may play any part in the cluster: docs/SECURITY.md says what that means.",
  examples: [
    ["dsm secret new ~/.dsm-secret", "make one"],
    ["dsm server --host 10.0.0.1 --secret ~/.dsm-secret", "let in from other hosts whoever has it"],
  ],
  subcommands: [make],
});
