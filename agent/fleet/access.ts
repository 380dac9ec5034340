/** Who a branch is to headquarters: its name, its key, and where headquarters is. */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { CodedError, explain } from "../errors.ts";
import { branchName } from "./branch-report.ts";

const secretText = z.string().min(32, "at least 32 characters");

/** Throws `fleet/invalid` where the way is neither TLS nor loopback, or where name or key are missing. */
export async function branchAccess(
  path: string,
  place: {
    readonly reportTo: string | undefined;
    readonly secretFile: string | undefined;
    readonly ca: string | undefined;
  },
  instance: string | undefined,
): Promise<{ url: URL; branch: string; secret: string; ca: Buffer | undefined }> {
  if (place.reportTo === undefined) throw invalid("FIREKEEPER_INHERIT=yes needs FIREKEEPER_REPORT_TO.");
  const url = new URL(path, place.reportTo);
  const loopback = /^(127(\.\d+){3}|\[::1\]|localhost)$/.test(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && loopback))
    throw invalid("FIREKEEPER_REPORT_TO must be https://; http:// is for loopback only.");
  const branch = instance?.toLowerCase();
  if (branch === undefined || !branchName.test(branch))
    throw invalid("FIREKEEPER_REPORT_TO needs FIREKEEPER_INSTANCE, the name of this branch.");
  if (place.secretFile === undefined) throw invalid("FIREKEEPER_REPORT_TO needs FIREKEEPER_REPORT_SECRET_FILE.");
  const secret = await readSecret(place.secretFile);
  return { url, branch, secret, ca: place.ca === undefined ? undefined : await readFile(place.ca) };
}

/** Throws `fleet/invalid`. */
export async function readSecret(path: string): Promise<string> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    throw invalid(`${path} cannot be read: ${explain(error)}`);
  });
  const read = secretText.safeParse(text.trim());
  if (!read.success) throw invalid(`${path} must hold at least 32 characters`);
  return read.data;
}

export function invalid(message: string): CodedError {
  return new CodedError("fleet/invalid", message, { hint: "docs/fleet.md shows a set-up that works." });
}
