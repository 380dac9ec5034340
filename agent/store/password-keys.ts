/** Keys of passwords that stand in clear in the host file: each derived once, told apart by an HMAC, never by deriving again. */
import { createHmac, randomBytes } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { type CredentialsText, credentials } from "../../xmpp-core/control/contract.ts";
import { deriveCredentials, inOrder } from "../credentials.ts";
import { CodedError, errno } from "../errors.ts";
import { writeWhole } from "./file-on-disk.ts";

const keyBytes = 32;
/** libuv has four threads; one stays for files. */
const width = 3;

const derived = z.record(z.string(), credentials);

export interface PasswordKeys {
  /** The keys of this person's password, if they were derived before. */
  known(name: string, password: string): CredentialsText | undefined;
  /**
   * Derives in the order given and remembers. A password that cannot be one gives its error, and is not tried again.
   * `onDone` counts along.
   */
  derive(
    people: readonly { readonly name: string; readonly password: string }[],
    by: { readonly iterations: number; readonly onDone?: (done: number, of: number) => void },
  ): Promise<void>;
  /** Why this password can be none. */
  unusable(name: string, password: string): string | undefined;
  /** Keeps exactly these for the next start: a file that cannot be rewritten would get new salts otherwise. */
  keep(people: readonly { readonly name: string; readonly password: string }[]): Promise<void>;
}

/** Told of each password in clear whose keys are known; a target that takes no keys asks for it. */
export type HeardPassword = (keys: CredentialsText, password: string) => void;

/** Opens the memory in `<home>/secrets`; the HMAC's key is made at the first start. */
export async function openPasswordKeys(home: string, heard: HeardPassword = () => {}): Promise<PasswordKeys> {
  const secrets = join(home, "secrets");
  await mkdir(secrets, { recursive: true, mode: 0o700 });
  const key = await hmacKey(join(secrets, "password-hmac.key"));
  const path = join(secrets, "host-password-keys.json");
  const keys = await readKept(path);
  const failures = new Map<string, string>();
  let kept = [...keys.keys()].sort().join();

  const mark = (name: string, password: string) =>
    createHmac("sha256", key)
      .update(JSON.stringify([name, password]))
      .digest("base64");

  return {
    known(name, password) {
      const found = keys.get(mark(name, password));
      if (found) heard(found, password);
      return found;
    },
    unusable: (name, password) => failures.get(mark(name, password)),
    async derive(people, { iterations, onDone }) {
      const jobs = people.map((person) => async () => {
        const id = mark(person.name, person.password);
        try {
          keys.set(id, await deriveCredentials(person.password, { iterations }));
        } catch (error) {
          if (!(error instanceof CodedError)) throw error;
          failures.set(id, error.message);
        }
      });
      const results = await inOrder(jobs, { width, ...(onDone ? { onDone } : {}) });
      const broken = results.find((result) => result.status === "rejected");
      if (broken) throw broken.reason;
    },
    async keep(people) {
      const wanted = new Map<string, CredentialsText>();
      for (const { name, password } of people) {
        const id = mark(name, password);
        const standing = keys.get(id);
        if (standing) wanted.set(id, standing);
      }
      const ids = [...wanted.keys()].sort().join();
      if (ids === kept) return;
      await writeWhole(path, `${JSON.stringify(Object.fromEntries(wanted))}\n`);
      kept = ids;
    },
  };
}

async function hmacKey(path: string): Promise<Buffer> {
  try {
    const key = Buffer.from((await readFile(path, "utf8")).trim(), "base64");
    if (key.length === keyBytes) return key;
  } catch (error) {
    if (errno(error) !== "ENOENT") throw error;
  }
  // Losing it costs deriving once more, nothing else.
  const key = randomBytes(keyBytes);
  await writeWhole(path, `${key.toString("base64")}\n`);
  return key;
}

async function readKept(path: string): Promise<Map<string, CredentialsText>> {
  try {
    const parsed = derived.safeParse(JSON.parse(await readFile(path, "utf8")));
    return new Map(parsed.success ? Object.entries(parsed.data) : []);
  } catch (error) {
    if (errno(error) === "ENOENT" || error instanceof SyntaxError) return new Map();
    throw error;
  }
}
