import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openLog } from "../../xmpp-core/gate/report.ts";

let home: string;
let path: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "gate-log-"));
  path = join(home, "gate.log");
});
afterEach(() => rmSync(home, { recursive: true }));

test("the log is lines of JSON that only their owner reads, rotated at 10 MB, ten kept", () => {
  const log = openLog(path);
  log.report("warn", "something", { count: 2 });
  expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({
    level: "warn",
    from: "gate",
    event: "something",
    count: 2,
  });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const piece = Buffer.alloc(10 * 1024 * 1024, "x");
  for (let count = 0; count < 12; count += 1) {
    piece.write(`${count} `);
    log.write(piece);
  }
  const files = readdirSync(home).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  expect(files).toEqual(["gate.log", ...Array.from({ length: 10 }, (_, age) => `gate.log.${age + 1}`)]);
  expect(readFileSync(`${path}.1`, "latin1").slice(0, 3)).toBe("11 ");
  expect(statSync(path).size).toBe(0);
});

test("a log that was moved away is opened again", () => {
  const log = openLog(path);
  log.write("one\n");
  renameSync(path, `${path}.moved`);
  log.reopen();
  log.write("two\n");
  expect([readFileSync(`${path}.moved`, "utf8"), readFileSync(path, "utf8")]).toEqual(["one\n", "two\n"]);
});
