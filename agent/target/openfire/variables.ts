/** The variables that choose and reach an Openfire. Credentials come from files only: an environment is easily shown. */
import { resolve } from "node:path";
import { z } from "zod";
import { CodedError } from "../../errors.ts";
import type { OpenfireAccess } from "./rest.ts";

export const openfireVariables = {
  FIREKEEPER_TARGET: z
    .enum(["core", "openfire"], { error: "core or openfire" })
    .default("core")
    .describe(
      "What the agent drives: our own `core`, or a real `openfire` 5 through its REST plugin, where `FIREKEEPER_APPLY` is `manual` unless set.",
    ),
  FIREKEEPER_OPENFIRE_URL: z
    .string()
    .refine(isConsole, "the http:// or https:// URL of Openfire's admin console, without user, path or query")
    .optional()
    .describe("Openfire's admin console, such as `https://xmpp.example.org:9091`."),
  FIREKEEPER_OPENFIRE_SECRET_FILE: z
    .string()
    .optional()
    .describe("Path of a file with the secret key of Openfire's REST plugin."),
  FIREKEEPER_OPENFIRE_USER: z
    .string()
    .optional()
    .describe("Instead of the secret key: name of an Openfire admin, for a plugin with HTTP basic authentication."),
  FIREKEEPER_OPENFIRE_PASSWORD_FILE: z.string().optional().describe("Path of a file with that admin's password."),
  FIREKEEPER_OPENFIRE_CA: z
    .string()
    .optional()
    .describe("Path of a PEM file with the authority (or the self-signed certificate) of Openfire's admin console."),
};

export type OpenfirePlace = {
  readonly kind: "openfire";
  readonly url: string;
  readonly access: OpenfireAccess;
  readonly ca: string | undefined;
};

type Given = z.infer<z.ZodObject<typeof openfireVariables>>;

/** Undefined for the target `core`. Throws `environment/invalid` when a part is missing; files are read later. */
export function openfirePlace(given: Given, cwd: string): OpenfirePlace | undefined {
  if (given.FIREKEEPER_TARGET !== "openfire") return undefined;
  const url = given.FIREKEEPER_OPENFIRE_URL;
  const secret = given.FIREKEEPER_OPENFIRE_SECRET_FILE;
  const user = given.FIREKEEPER_OPENFIRE_USER;
  const password = given.FIREKEEPER_OPENFIRE_PASSWORD_FILE;
  const ca = given.FIREKEEPER_OPENFIRE_CA;
  if (url === undefined) throw missing("FIREKEEPER_OPENFIRE_URL: must be the URL of Openfire's admin console");
  if ((secret === undefined) === (user === undefined || password === undefined))
    throw missing(
      "FIREKEEPER_OPENFIRE_SECRET_FILE, or FIREKEEPER_OPENFIRE_USER with FIREKEEPER_OPENFIRE_PASSWORD_FILE: must be set, and not both",
    );
  return {
    kind: "openfire",
    url,
    access:
      secret === undefined
        ? { by: "password", user: user ?? "", file: resolve(cwd, password ?? "") }
        : { by: "secret", file: resolve(cwd, secret) },
    ca: ca === undefined ? undefined : resolve(cwd, ca),
  };
}

function missing(what: string): CodedError {
  return new CodedError("environment/invalid", `The environment is not usable. ${what}.`, {
    hint: "Correct it where the agent is started, or in .env.",
  });
}

function isConsole(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, pathname, search, hash } = new URL(text);
  return /^https?:$/.test(protocol) && `${username}${password}${search}${hash}` === "" && pathname === "/";
}
