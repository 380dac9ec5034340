/** Converse.js as its authors published it: what a browser needs of the package, unchanged, and its licence. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzip } from "node:zlib";

export const mainScript = "converse.min.js";

const types: Readonly<Record<string, string>> = {
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".wasm": "application/wasm",
  ".ttf": "font/ttf",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".webp": "image/webp",
  ".mp3": "audio/mpeg",
  ".ogg": "audio/ogg",
  "": "text/plain; charset=utf-8",
};
const packed = new Set([".js", ".css", ".json", ".svg", ".ttf", ".wasm", ""]);

/** Of the package's dist folder: no maps, nothing that is there in a second form. */
const wanted =
  /^(converse\.min\.(js|css)|emoji\.json|libomemo\.esm\.min\.js|curve25519_compiled\.wasm|shared-connection-worker\.js|(chunkjs|images|sounds|webfonts)\/.*\.(js|json|svg|png|ico|webp|mp3|ogg|ttf))$/;

export interface WebFile {
  readonly type: string;
  readonly bytes: Buffer;
  /** For browsers that take it; absent: it would not be smaller. */
  readonly gzipped?: Buffer;
}

export interface ConverseFiles {
  /** Part of every path, so that browsers may keep the files for good: changes with the package. */
  readonly version: string;
  /** `converse.min.js`, `chunkjs/locales/fr-….js`; undefined: there is no such file. */
  file(path: string): Promise<WebFile> | undefined;
}

/** Where the build has put the copy; from sources the last build counts. */
export function copiedConverse(): string {
  const copied = import.meta.url.endsWith(".ts") ? "../../../dist/xmpp-core/modules/web-chat/converse/" : "./converse/";
  return fileURLToPath(new URL(copied, import.meta.url));
}

/** The `dist` folder of the installed package; undefined: it is optional, and not there. */
export function packagedConverse(): string | undefined {
  try {
    return dirname(createRequire(import.meta.url).resolve(`converse.js/dist/${mainScript}`));
  } catch {
    return undefined;
  }
}

/** Paths in a folder of Converse.js that a browser needs. */
export async function neededFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  return names
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => wanted.test(name))
    .sort();
}

/** Reads the list of files; each is read when it is asked for first. Undefined: there is no Converse.js here. */
export async function openConverse(): Promise<ConverseFiles | undefined> {
  const folder = [copiedConverse(), packagedConverse()].find(
    (one) => one !== undefined && existsSync(join(one, mainScript)),
  );
  if (folder === undefined) return undefined;
  const paths = new Map((await neededFiles(folder)).map((path) => [path, join(folder, path)]));
  // Of the package it stands above, of the copy among the files.
  const licence = [join(folder, "LICENSE"), join(folder, "..", "LICENSE")].find((path) => existsSync(path));
  if (licence !== undefined) paths.set("LICENSE", licence);
  const version = createHash("sha256")
    .update(await readFile(join(folder, mainScript)))
    .digest("hex")
    .slice(0, 12);
  const read = new Map<string, Promise<WebFile>>();
  return {
    version,
    file(path) {
      // Only what was listed: no request ever becomes a path of the disk.
      const place = paths.get(path);
      if (place === undefined) return undefined;
      const known = read.get(path) ?? load(place);
      read.set(path, known);
      return known;
    },
  };
}

async function load(path: string): Promise<WebFile> {
  const extension = extname(path);
  const bytes = await readFile(path);
  const type = types[extension] ?? "application/octet-stream";
  const gzipped = packed.has(extension) ? await promisify(gzip)(bytes) : undefined;
  return gzipped === undefined || gzipped.length >= bytes.length ? { type, bytes } : { type, bytes, gzipped };
}
