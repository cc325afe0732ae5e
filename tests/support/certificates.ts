/** Certificates for a test's own servers, by openssl. */
import { assertEquals } from "@std/assert";
import type { TempDir } from "./machine.ts";
import { runCommand } from "./processes.ts";

/** NAME-ca.pem, an authority's; NAME.pem and NAME.key, which come from it and name `hosts`. */
export async function makeCertificates(dir: TempDir, name: string, hosts: readonly string[]): Promise<void> {
  const file = (end: string): string => dir.file(`${name}${end}`);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const names = `subjectAltName=${hosts.map((host) => `IP:${host}`).join(",")}`;
  const steps = [
    ["req", "-x509", ...key, "-subj", "/CN=test authority", "-keyout", file("-ca.key"), "-out", file("-ca.pem")],
    ["req", "-new", ...key.slice(0, 5), "-subj", "/CN=test", "-keyout", file(".key"), "-out", file(".csr")],
    [
      ...["x509", "-req", "-in", file(".csr"), "-CA", file("-ca.pem"), "-CAkey", file("-ca.key"), "-CAcreateserial"],
      ...["-days", "2", "-extfile", file(".ext"), "-out", file(".pem")],
    ],
  ];
  await Deno.writeTextFile(file(".ext"), `${names}\nbasicConstraints=CA:FALSE\n`);
  for (const step of steps) {
    const { code, stderr } = await runCommand(["openssl", ...step]);
    assertEquals(code, 0, stderr);
  }
}
