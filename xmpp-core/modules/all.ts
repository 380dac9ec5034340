import { legacySession } from "./legacy-session.ts";
import type { Module } from "./module.ts";
import { ping } from "./ping.ts";

/** Every capability of the server; features, tables, properties and docs follow from the declarations. */
export const allModules: readonly Module[] = [legacySession, ping];
