/** The built console, read once: each file is a route of its own, so no request ever becomes a path of the disk. */
import { readdir, readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzip } from "node:zlib";

export interface ConsoleFile {
  readonly path: string;
  readonly type: string;
  readonly bytes: Buffer;
  readonly gzipped: Buffer;
  /** Named by its content: never changes under this path. */
  readonly immutable: boolean;
}

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** Beside us where we are built; from sources (tests, tsx) the last build counts. */
export function builtConsole(): string {
  const built = import.meta.url.endsWith(".ts") ? "../../dist/xmpp-core/admin/console/" : "./console/";
  return fileURLToPath(new URL(built, import.meta.url));
}

/** Empty when the console was not built; API, health and metrics work without it. */
export async function consoleFiles(folder: string): Promise<ConsoleFile[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const files: ConsoleFile[] = [];
  for (const name of names.sort()) {
    const type = types[extname(name)];
    if (type === undefined) continue;
    const bytes = await readFile(join(folder, name));
    const path = name === "index.html" ? "/" : `/${name.replaceAll("\\", "/")}`;
    files.push({
      path,
      type,
      bytes,
      gzipped: await promisify(gzip)(bytes),
      immutable: path.startsWith("/assets/"),
    });
  }
  return files;
}
