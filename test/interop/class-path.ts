import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { installed } from "../peers/peer.ts";

const run = promisify(execFile);
const pom = fileURLToPath(new URL("pom.xml", import.meta.url));

/** Java's class path with Smack's integration tests, or why they cannot be had here. */
export type ClassPath = { classPath: string; version: string } | { missing: string };

/**
 * Lets Maven fetch the tests into `INTEROP_CACHE` (default: node_modules/.cache/smack), once per version.
 * Fails with a reason, not with an error: without Java or Maven Central the suite is skipped.
 */
export async function classPath(): Promise<ClassPath> {
  const version = /<smack.version>([^<]+)</.exec(await readFile(pom, "utf8"))?.[1] ?? "";
  const root = fileURLToPath(new URL("../../node_modules/.cache/smack", import.meta.url));
  const cache = process.env.INTEROP_CACHE ?? root;
  const file = join(cache, `class-path-${version}`);
  if (!(await installed("java", "javac")))
    return { missing: "no Java compiler (apt-get install openjdk-17-jdk-headless)" };
  const known = await cached(file);
  if (known !== undefined) return { classPath: known, version };
  if (!(await installed("mvn"))) return { missing: "no Maven (apt-get install maven)" };
  await mkdir(cache, { recursive: true });
  const argv = ["-q", "-B", "-f", pom, `-Dmaven.repo.local=${join(cache, "repository")}`];
  const goal = ["dependency:build-classpath", `-Dmdep.outputFile=${file}.new`];
  const failure = await run("mvn", [...argv, ...goal], { timeout: 240_000 }).then(
    () => undefined,
    (error: { stdout?: string; killed?: boolean; message: string }) =>
      error.killed === true ? "it took more than four minutes" : (error.stdout || error.message).slice(0, 600),
  );
  if (failure !== undefined) return { missing: `Maven could not fetch the tests: ${failure}` };
  await rename(`${file}.new`, file);
  return { classPath: await readFile(file, "utf8"), version };
}

/** What an earlier run wrote, if all its files are still there. */
async function cached(file: string): Promise<string | undefined> {
  if (!existsSync(file)) return undefined;
  const entries = await readFile(file, "utf8");
  return entries.split(":").every((entry) => existsSync(entry)) ? entries : undefined;
}
