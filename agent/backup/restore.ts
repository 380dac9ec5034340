/** A backup as a home again: whole or not at all, under its own domain or another. docs/backup.md. */
import { createWriteStream } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { CodedError, errno } from "../errors.ts";
import { editHostFile } from "../store/host-file-edit.ts";
import type { Manifest } from "./manifest.ts";
import { readBackup } from "./read-backup.ts";
import { leaveRestored } from "./restored.ts";

export interface RestoreOrder {
  readonly file: string;
  /** Must not exist, or be empty. */
  readonly home: string;
  readonly passphrase?: string | undefined;
  /** Serve this domain instead of the one of the backup. */
  readonly domain?: string | undefined;
  /** The former domain stays an alias; else it is let go, since the service that was backed up may still bear it. */
  readonly keepAlias?: boolean | undefined;
  /** The same service on another machine, not a copy beside it. */
  readonly sameInstance?: boolean | undefined;
}

/** Makes the home. On any failure nothing is left behind. Throws as `readBackup`, or `restore/not-empty`, `restore/no-host-file`. */
export async function restoreBackup(order: RestoreOrder): Promise<Manifest> {
  const home = resolve(order.home);
  await refuseUsed(home);
  const into = `${home}.restoring`;
  await rm(into, { recursive: true, force: true });
  await mkdir(into, { recursive: true, mode: 0o700 });
  try {
    const about = await readBackup(order.file, order.passphrase, async (name, bytes) => {
      const path = join(into, name);
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await pipeline(bytes, createWriteStream(path, { mode: 0o600, flags: "wx", flush: true }));
    });
    if (!order.sameInstance) await rm(join(into, "instance"), { force: true });
    if (order.domain !== undefined && order.domain !== about.domain) await underAnotherName(into, order, order.domain);
    await rm(home, { recursive: true, force: true });
    await rename(into, home);
    return about;
  } catch (error) {
    await rm(into, { recursive: true, force: true });
    throw error;
  }
}

async function refuseUsed(home: string): Promise<void> {
  const found = await readdir(home).catch((error: unknown) => {
    if (errno(error) === "ENOENT") return [];
    throw error;
  });
  if (found.length > 0)
    throw new CodedError("restore/not-empty", `${home} is not empty.`, {
      hint: "Restore into a new directory: nothing is ever overwritten.",
    });
}

/** The host file asks for the new name; the first start makes the change as if a person had said apply. */
async function underAnotherName(into: string, { keepAlias = false }: RestoreOrder, domain: string): Promise<void> {
  const path = join(into, "host.yaml");
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (errno(error) !== "ENOENT") throw error;
    throw new CodedError(
      "restore/no-host-file",
      "The host of this backup is no host.yaml, so its domain is set there.",
      {
        hint: "Restore without --domain, and set sys.xmpp.domain in the host that this service will follow.",
      },
    );
  });
  const { text: edited } = editHostFile(text, path, { kind: "setting-set", key: "sys.xmpp.domain", value: domain });
  await writeFile(path, edited, { mode: 0o600 });
  await leaveRestored(into, { domain, keepAlias });
}
