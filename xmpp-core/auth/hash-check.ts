/** Checks passwords against hashes, never on the main thread: bcrypt and SHA-crypt in threads of their own, PBKDF2 in libuv's. */
import { createHash, pbkdf2, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { workerFromSource } from "../source-worker.ts";
import type { Checked, ToCheck } from "./hash-worker.ts";
import type { HashForm } from "./password-hash.ts";
import { derivationPool } from "./pool.ts";

const pbkdf2InPool = promisify(pbkdf2);

export interface HashCheck {
  /** Whether the password, as the client sent it, belongs to the hash. Throws `auth/busy` when too many wait. */
  matches(password: string, form: HashForm): Promise<boolean>;
  close(): Promise<void>;
}

/** Bytes; what crypt(3) takes. */
const longestPassword = 512;

/** Threads start at the first hash that needs one: a server without such hashes pays nothing. */
export function openHashCheck({ threads = 2, waiting = 100 } = {}): HashCheck {
  const pool = derivationPool({ parallel: threads, waiting });
  const idle: HashThread[] = [];
  const all = new Set<HashThread>();

  async function inThread(job: Omit<ToCheck, "id">): Promise<boolean> {
    const thread = idle.pop() ?? startThread();
    all.add(thread);
    try {
      return await thread.check(job);
    } finally {
      if (thread.lives) idle.push(thread);
      else all.delete(thread);
    }
  }

  async function right(password: string, form: HashForm): Promise<boolean> {
    if (form.is === "bcrypt" || form.is === "sha-crypt") return inThread({ is: form.is, text: form.text, password });
    const { digest, salt, key } = form;
    const computed =
      form.is === "pbkdf2"
        ? await pbkdf2InPool(password, salt, form.iterations, key.length, digest)
        : createHash(digest).update(password).update(salt).digest();
    return computed.length === key.length && timingSafeEqual(computed, key);
  }

  return {
    matches: (given, form) =>
      pool.run(async () => {
        // SHA-crypt goes over the whole password in each round: a long one costs as usual and is wrong.
        const tooLong = Buffer.byteLength(given) > longestPassword;
        const password = tooLong ? "" : given;
        return (await right(password, form)) && !tooLong;
      }),
    async close() {
      await Promise.all([...all].map((thread) => thread.end()));
    },
  };
}

interface HashThread {
  readonly lives: boolean;
  check(job: Omit<ToCheck, "id">): Promise<boolean>;
  end(): Promise<unknown>;
}

function startThread(): HashThread {
  const worker = startWorker();
  let lives = true;
  let lastId = 0;
  let asked: { id: number; resolve(right: boolean): void; reject(error: unknown): void } | undefined;
  const lost = (error: unknown): void => {
    lives = false;
    asked?.reject(error);
  };
  worker.on("message", ({ id, right }: Checked) => {
    worker.unref();
    if (asked?.id === id) asked.resolve(right);
  });
  worker.on("error", lost);
  worker.on("exit", () => lost(new Error("The thread that checks hashes ended.")));
  worker.unref();
  return {
    get lives() {
      return lives;
    },
    check: (job) =>
      new Promise((resolve, reject) => {
        asked = { id: ++lastId, resolve, reject };
        worker.ref();
        worker.postMessage({ ...job, id: lastId } satisfies ToCheck);
      }),
    end: () => worker.terminate(),
  };
}

/** As in storage/thread.ts. */
function startWorker(): Worker {
  if (import.meta.url.endsWith(".ts")) return workerFromSource(new URL("./hash-worker.ts", import.meta.url));
  return new Worker(new URL("./hash-worker.js", import.meta.url));
}
