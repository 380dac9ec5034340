/** A step of the build: puts what a browser needs of Converse.js beside the program, with its licence. */
import { copyFile, mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { copiedConverse, neededFiles, packagedConverse } from "./converse-files.ts";

const from = packagedConverse();
const to = copiedConverse();
await rm(to, { recursive: true, force: true });
if (from === undefined) console.log("converse.js is not installed: the web chat is left out");
else {
  for (const name of await neededFiles(from)) {
    await mkdir(dirname(join(to, name)), { recursive: true });
    await copyFile(join(from, name), join(to, name));
  }
  await copyFile(join(from, "..", "LICENSE"), join(to, "LICENSE"));
}
