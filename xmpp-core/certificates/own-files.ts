/** Certificates that people give as files: one pair for all names, or a folder with something for each domain. */
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { CodedError } from "../errors.ts";
import type { Property } from "../properties/property.ts";
import { canonicalHost } from "../properties/text-schema.ts";
import {
  type CertificateFacts,
  checkCertificate,
  type LoadedCertificate,
  loadCertificate,
  readSmall,
} from "../transport/certificates.ts";
import { openPkcs12 } from "./pkcs12-thread.ts";
import { certificateDirectory, chainPath, keyPassphrase, keyPath, p12Password } from "./properties.ts";

type Get = <T>(property: Property<T>) => T;

export type OwnFiles =
  | { readonly is: "pem"; readonly chainPath: string; readonly keyPath: string }
  | { readonly is: "pkcs12"; readonly path: string };

// In the order of preference: certbot's chain.pem lacks the server's own certificate, fullchain.pem has it.
const chainNames = ["fullchain.pem", "tls.crt", "cert.pem", "chain.pem"];
const keyNames = ["privkey.pem", "tls.key", "key.pem"];
const isPkcs12 = (file: string): boolean => /\.(p12|pfx)$/i.test(file);

/** The files for this name, as the properties say; undefined: none are given. Throws certificate/unreadable for a folder that is not there. */
export async function ownFiles(name: string, get: Get): Promise<OwnFiles | undefined> {
  const directory = get(certificateDirectory);
  const inFolder = directory === undefined ? undefined : await filesInFolder(directory, name);
  if (inFolder !== undefined) return inFolder;
  const [chain, key] = [get(chainPath), get(keyPath)];
  return chain === undefined || key === undefined ? undefined : { is: "pem", chainPath: chain, keyPath: key };
}

async function filesInFolder(directory: string, name: string): Promise<OwnFiles | undefined> {
  // Only host names go into a path: "../x" is none.
  const host = canonicalHost(name);
  const entries = await listed(directory);
  if (host === undefined) return undefined;
  const spelt = [host, ...(name === host || /[/\\\0]|^\./.test(name) ? [] : [name])];
  for (const domain of spelt) {
    if (entries.includes(domain) && (await stat(join(directory, domain)).catch(() => undefined))?.isDirectory())
      return among(await listed(join(directory, domain)), join(directory, domain), domain);
    const files = among(
      entries.filter((entry) => entry.startsWith(`${domain}.`)),
      directory,
      domain,
    );
    if (files !== undefined) return files;
  }
  return undefined;
}

function among(entries: readonly string[], folder: string, domain: string): OwnFiles | undefined {
  const first = (wanted: readonly string[]) => wanted.find((entry) => entries.includes(entry));
  const chain = first([...chainNames, ...["pem", "crt", "cer"].map((end) => `${domain}.${end}`)]);
  const key = first([...keyNames, `${domain}.key`]);
  // One file may hold both.
  if (chain !== undefined) return { is: "pem", chainPath: join(folder, chain), keyPath: join(folder, key ?? chain) };
  const pkcs12 = [...entries].sort().find(isPkcs12);
  if (pkcs12 !== undefined) return { is: "pkcs12", path: join(folder, pkcs12) };
  // A key alone: its certificate is on its way, and whoever looks is told what is missing.
  return key === undefined
    ? undefined
    : { is: "pem", chainPath: join(folder, "fullchain.pem"), keyPath: join(folder, key) };
}

async function listed(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new CodedError("certificate/unreadable", `${folder} cannot be read (${code}).`, {
      fields: { file: folder, reason: code },
      hint: "Make the folder, correct the path, or let the user that runs the server read it.",
      cause,
    });
  }
}

/** The files that one certificate depends on. */
function filesOf(files: OwnFiles): string[] {
  const [chain, key] = files.is === "pem" ? [files.chainPath, files.keyPath] : [files.path, files.path];
  return [...new Set([chain, key, `${key}.password`])];
}

/** What a person would call it. */
export const namedFile = (files: OwnFiles): string => (files.is === "pem" ? files.chainPath : files.path);

/** Changes whenever one of the files is written, replaced, removed or appears; links are followed. */
export async function printOf(files: OwnFiles, get: Get): Promise<string> {
  const hash = createHash("sha256");
  for (const secret of [get(p12Password), get(keyPassphrase)]) hash.update(`${secret ?? ""}\0`);
  for (const file of filesOf(files)) {
    const facts = await stat(file, { bigint: true }).catch(() => undefined);
    hash.update(`${file}\0${facts && [facts.dev, facts.ino, facts.size, facts.mtimeNs, facts.ctimeNs].join()}\0`);
  }
  return hash.digest("hex");
}

/** Reads and checks. Throws as `checkCertificate`, `loadCertificate` and `readPkcs12` do. */
export async function readOwn(
  name: string,
  files: OwnFiles,
  get: Get,
  now: Date,
): Promise<LoadedCertificate & { facts: CertificateFacts }> {
  const covers = [name];
  if (files.is === "pem")
    return loadCertificate({ ...files, name, covers }, now, (await beside(files.keyPath)) ?? get(keyPassphrase));
  const { path } = files;
  const { chain, key } = await openPkcs12(await readSmall(path), (await beside(path)) ?? get(p12Password), path);
  return {
    name,
    chain,
    key,
    facts: checkCertificate({ name, covers, chainPath: path, keyPath: path }, chain, key, now),
  };
}

/** The password in a file of its own beside the one it opens. */
async function beside(file: string): Promise<string | undefined> {
  const found = await readFile(`${file}.password`, "utf8").catch(() => undefined);
  return found?.replace(/\r?\n$/, "");
}
