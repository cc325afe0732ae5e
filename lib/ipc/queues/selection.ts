/** Which message a `msgrcv` is for, by its type and flags (ipc/msg.c: `convert_mode`, `testmsg`). */
import { MSG_EXCEPT } from "./flags.ts";

/** What is wanted. */
export type Selection =
  /** The first one. */
  | { readonly mode: "any" }
  /** The first one of that type. */
  | { readonly mode: "equal"; readonly type: number }
  /** The first one of another type. */
  | { readonly mode: "except"; readonly type: number }
  /** The first one of the least type there is, if that is at most `type`. */
  | { readonly mode: "least"; readonly type: number };

/** What `type` and `flags` of a `msgrcv` ask for. */
export function selectionOf(type: number, flags: number): Selection {
  if (type === 0) return { mode: "any" };
  if (type < 0) return { mode: "least", type: -type };
  return { mode: flags & MSG_EXCEPT ? "except" : "equal", type };
}

/** Whether a message of `type` will do where it is the only one. */
export function isWanted(selection: Selection, type: number): boolean {
  switch (selection.mode) {
    case "any":
      return true;
    case "equal":
      return type === selection.type;
    case "except":
      return type !== selection.type;
    case "least":
      return type <= selection.type;
  }
}
