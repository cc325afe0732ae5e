/**
 * Whether what a document mentions is there.
 *
 *   - A relative link leads to a file, and its anchor to a heading.
 *   - A path of the project, in prose or in a code block, exists.
 *   - `deno task NAME` names a task.
 *   - A link to a .ts file whose text is code names something that stands in that file: what a document says of a
 *     function or a constant (`LIMIT = 512`) fails the check once the code says otherwise.
 */

const FOLDERS = "bench|docs|examples|include|lib|roles|tests|third_party|tools";
const PATH = new RegExp(`(?<![\\w/.@-])(?:${FOLDERS})/[\\w@./-]*`, "g");
const LINK = /(?<!!)\[([^\]]*)\]\(([^)\s]+)\)/g;
const TASK = /\bdeno(?:@[\d.]+)? task ([a-z][\w:-]*)/g;
const FENCE = /^( *)(```+|~~~+)[\s\S]*?^\1\2 *$/gm;

/** What is wrong with `file`, a path relative to `root`: lines such as `README.md:7: no file lib/x.ts`. */
export async function checkDocument(root: string, file: string, tasks: readonly string[]): Promise<string[]> {
  const text = await Deno.readTextFile(`${root}/${file}`);
  const prose = text.replace(FENCE, (block) => block.replace(/[^\n]/g, " "));
  const problems: { index: number; message: string }[] = [];
  for (const match of text.matchAll(PATH)) {
    const path = match[0].replace(/[./]+$/, "");
    if (!await exists(`${root}/${path}`)) problems.push({ index: match.index, message: `no file ${path}` });
  }
  for (const match of text.matchAll(TASK)) {
    const name = match[1] as string;
    if (!tasks.includes(name)) problems.push({ index: match.index, message: `no task ${name} in deno.json` });
  }
  for (const match of prose.matchAll(LINK)) {
    const [, label, target] = match as unknown as [string, string, string];
    const message = await objection(root, file, label, target);
    if (message !== undefined) problems.push({ index: match.index, message });
  }
  return problems
    .sort((a, b) => a.index - b.index)
    .map(({ index, message }) => `${file}:${text.slice(0, index).split("\n").length}: ${message}`);
}

/** Why a link is wrong; undefined when it is not, or leads elsewhere. */
async function objection(root: string, file: string, label: string, target: string): Promise<string | undefined> {
  if (/^[a-z]+:/i.test(target)) return undefined;
  const [path = "", anchor] = target.split("#", 2);
  const folder = file.includes("/") ? file.slice(0, file.lastIndexOf("/") + 1) : "";
  const full = path === "" ? `${root}/${file}` : `${root}/${folder}${path}`;
  if (!await exists(full)) return `the link to ${target} leads nowhere`;
  if (anchor !== undefined && full.endsWith(".md") && !anchorsIn(await Deno.readTextFile(full)).includes(anchor)) {
    return `the link to ${target} leads to no heading`;
  }
  const code = /^`([^`]+)`$/.exec(label)?.[1];
  if (code === undefined || !full.endsWith(".ts") || path.endsWith(code)) return undefined;
  const missing = namesIn(code, await Deno.readTextFile(full));
  return missing.length === 0 ? undefined : `${path} has no ${missing.join(", ")}`;
}

/** What of `code` does not stand in `source`: all of it as it is (`LIMIT = 512`), or each part of `Class.method`. */
function namesIn(code: string, source: string): string[] {
  if (code.includes(" ")) return source.includes(code) ? [] : [code];
  return code.replace(/\(\)$/, "").split(".").filter((name) => {
    const escaped = name.replace(/[^\w]/g, "\\$&");
    return !new RegExp(`(?<![\\w#])${escaped}(?!\\w)`).test(source);
  });
}

/** The anchors of a document's headings, as code hosts make them. */
export function anchorsIn(markdown: string): string[] {
  const prose = markdown.replace(FENCE, "");
  return [...prose.matchAll(/^#{1,6} +(.+?) *$/gm)].map(([, heading = ""]) =>
    heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")
  );
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
