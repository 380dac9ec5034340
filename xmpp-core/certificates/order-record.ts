/** What is remembered of orders on disk, so that no restart tries an authority's patience. */
import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeWhole } from "../storage/files.ts";
import { newKey } from "../transport/self-signed.ts";
import type { AcmeAccount } from "./acme-client.ts";

const record = z.object({
  /** Of the certificate that stands: who issued it, for which names, when it is due. ms since 1970. */
  issued: z.object({ directory: z.string(), names: z.array(z.string()), renewAt: z.number() }).optional(),
  /** Orders of the last day, failed ones too. */
  attempts: z.array(z.number()),
  failures: z.number(),
  nextTry: z.number(),
  /** Hash of the settings that failed: with others it is tried at once. */
  inputs: z.string(),
  error: z.string().optional(),
});
export type OrderRecord = z.infer<typeof record>;

export const noOrders: OrderRecord = { attempts: [], failures: 0, nextTry: 0, inputs: "" };

const folder = (home: string, name: string): string => join(home, "certificates", name);

/** Something unreadable counts as nothing: at worst one order too many. */
export async function readRecord(home: string, name: string): Promise<OrderRecord> {
  try {
    return record.parse(JSON.parse(await readFile(join(folder(home, name), "acme.json"), "utf8")));
  } catch {
    return noOrders;
  }
}

export async function writeRecord(home: string, name: string, next: OrderRecord): Promise<void> {
  await mkdir(folder(home, name), { recursive: true, mode: 0o700 });
  await writeWhole(join(folder(home, name), "acme.json"), `${JSON.stringify(next)}\n`);
}

/** Key and chain in one file: a pair is never half new. */
export async function readIssued(home: string, name: string): Promise<{ key: string; chain: string } | undefined> {
  const text = await readFile(issuedFile(home, name), "utf8").catch(() => undefined);
  const at = text?.indexOf("-----BEGIN CERTIFICATE-----") ?? -1;
  return text === undefined || at < 0 ? undefined : { key: text.slice(0, at), chain: text.slice(at) };
}

export async function writeIssued(home: string, name: string, pair: { key: string; chain: string }): Promise<void> {
  await mkdir(folder(home, name), { recursive: true, mode: 0o700 });
  await writeWhole(issuedFile(home, name), `${pair.key.trimEnd()}\n${pair.chain.trimStart()}`);
}

export const issuedFile = (home: string, name: string): string => join(folder(home, name), "acme.pem");

const account = z.object({
  directory: z.string(),
  key: z.string(),
  url: z.string().optional(),
  email: z.string().optional(),
});

/** The account at this authority; a new key if there is none yet. */
export async function readAccount(home: string, directory: string): Promise<AcmeAccount> {
  try {
    const { key, url, email } = account.parse(JSON.parse(await readFile(accountFile(home, directory), "utf8")));
    return { key, url, email };
  } catch (error) {
    // A key that is there and cannot be read must not be replaced: the authority knows it.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    const made: AcmeAccount = { key: newKey(), url: undefined, email: undefined };
    await writeAccount(home, directory, made);
    return made;
  }
}

export async function writeAccount(home: string, directory: string, { key, url, email }: AcmeAccount): Promise<void> {
  await mkdir(join(home, "secrets"), { recursive: true, mode: 0o700 });
  await writeWhole(accountFile(home, directory), `${JSON.stringify({ directory, key, url, email })}\n`);
}

function accountFile(home: string, directory: string): string {
  const id = createHash("sha256").update(directory).digest("hex").slice(0, 16);
  return join(home, "secrets", `acme-account-${id}.json`);
}
