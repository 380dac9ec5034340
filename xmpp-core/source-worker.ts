import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { Worker, type WorkerOptions } from "node:worker_threads";

/** Programs of threads, made once in a process. */
const bundles = new Map<string, string>();

/**
 * Starts a thread from its TypeScript source; the built program has it as JavaScript and never comes here. Newer Nodes
 * strip the types themselves. For Node 20, which runs the tests, esbuild (tsx brings it) makes one program of the entry
 * and all it imports: tsx itself would take longer to start in each thread than the thread's work takes.
 */
export function workerFromSource(entry: URL, options: Pick<WorkerOptions, "workerData"> = {}): Worker {
  const { typescript } = process.features as { typescript?: string | false };
  if (typescript) return new Worker(entry, options);
  let program = bundles.get(entry.href);
  if (program === undefined) {
    const { resolve } = createRequire(import.meta.url);
    const { buildSync } = createRequire(resolve("tsx/cjs/api"))("esbuild") as Esbuild;
    const { outputFiles } = buildSync({
      ...{ entryPoints: [fileURLToPath(entry)], bundle: true, write: false, platform: "node", format: "cjs" },
      define: { "import.meta.url": JSON.stringify(entry.href) },
    });
    program = outputFiles[0]?.text ?? "";
    bundles.set(entry.href, program);
  }
  return new Worker(program, { ...options, eval: true });
}

interface Esbuild {
  buildSync(options: object): { readonly outputFiles: readonly { readonly text: string }[] };
}
