/** third_party/std: what the types promise exists, and the stand-in for @std/log behaves as the original. */
import { assert, assertEquals } from "@std/assert";
import * as log from "@std/log";

const STAND_INS = new URL("../../third_party/std/", import.meta.url);

/** The names of values, not types, that a declaration file exports. */
function declaredValues(text: string): string[] {
  return [...text.matchAll(/^export (?:declare )?(?:abstract )?(?:function|class|const) (\w+)/gm)].map(([, name]) =>
    name ?? ""
  );
}

Deno.test("stand-ins: every value that a .d.ts declares exists at run time", async () => {
  let fileCount = 0;
  for (const folder of Deno.readDirSync(STAND_INS)) {
    for (const { name } of Deno.readDirSync(new URL(`${folder.name}/`, STAND_INS))) {
      if (!name.endsWith(".d.ts")) continue;
      fileCount++;
      const declarations = new URL(`${folder.name}/${name}`, STAND_INS);
      const names = declaredValues(await Deno.readTextFile(declarations));
      assert(names.length > 0, `${name} declares nothing`);
      const module = await import(declarations.href.replace(/\.d\.ts$/, ".ts"));
      for (const each of new Set(names)) assertEquals(typeof module[each], "function", `${folder.name}: ${each}`);
    }
  }
  assert(fileCount >= 3, `only ${fileCount} declaration files found`);
});

class Lines extends log.BaseHandler {
  readonly lines: string[] = [];
  override log(line: string): void {
    this.lines.push(line);
  }
}

Deno.test("stand-ins: a logger drops what is below its level, a handler what is below its own", () => {
  const all = new Lines("NOTSET");
  const warnings = new Lines("WARN", {
    formatter: ({ loggerName, levelName, msg }) => `${loggerName} ${levelName} ${msg}`,
  });
  log.setup({ handlers: { all, warnings }, loggers: { node: { level: "INFO", handlers: ["all", "warnings"] } } });
  const logger = log.getLogger("node");
  logger.debug("quiet");
  logger.info({ blocks: 3 });
  logger.warn("careful");
  assertEquals(all.lines, ['INFO {"blocks":3}', "WARN careful"]);
  assertEquals(warnings.lines, ["node WARN careful"]);
});

Deno.test("stand-ins: a message given as a function is made only when it is logged", () => {
  const lines = new Lines("NOTSET");
  log.setup({ handlers: { lines }, loggers: { node: { level: "INFO", handlers: ["lines"] } } });
  const logger = log.getLogger("node");
  assertEquals(logger.debug(() => "dear"), undefined);
  assertEquals(logger.error(() => "cheap"), "cheap");
  assertEquals(lines.lines, ["ERROR cheap"]);
});
