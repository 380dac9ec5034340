import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { applyMode, environmentTable, readEnvironment } from "../../agent/environment.ts";
import { CodedError } from "../../agent/errors.ts";

const cwd = mkdtempSync(join(tmpdir(), "firekeeper-environment-"));
afterAll(() => rmSync(cwd, { recursive: true }));
const read = (given: Record<string, string>) => readEnvironment(given, { cwd });

describe("the environment", () => {
  test("has a default for everything", () => {
    expect(read({})).toEqual({
      home: join(cwd, "data"),
      store: join(cwd, "data/host.yaml"),
      apply: undefined,
      instance: undefined,
      maxRemove: 20,
      keepRemovedDays: 30,
      aliasDays: 90,
      autoMigrate: false,
      reconcile: "* * * * *",
      timeZone: "UTC",
      windows: undefined,
      journalKeepDays: 0,
      logLevel: "info",
      core: { kind: "embedded" },
      probeHost: "127.0.0.1",
      probeFrom: [],
      fleet: {
        listen: undefined,
        file: undefined,
        reportTo: undefined,
        secretFile: undefined,
        ca: undefined,
        settings: undefined,
        inherit: false,
      },
      stun: { servers: [], everyMs: 60_000 },
      notices: [],
    });
  });

  test("says what is asked", () => {
    expect(
      read({
        FIREKEEPER_HOME: "/srv/fk",
        FIREKEEPER_STORE: "conf/host.yaml",
        FIREKEEPER_APPLY: "manual",
        FIREKEEPER_INSTANCE: "Acme-1",
        FIREKEEPER_MAX_REMOVE: "5.5",
        FIREKEEPER_KEEP_REMOVED: "0",
        FIREKEEPER_ALIAS_DAYS: "0",
        FIREKEEPER_AUTO_MIGRATE: "yes",
        FIREKEEPER_RECONCILE: "*/5 * * * *",
        FIREKEEPER_TZ: "Europe/Berlin",
        FIREKEEPER_WINDOW: "0 2 * * * for 2h",
        FIREKEEPER_WINDOW_FOR: "restart, listener",
        FIREKEEPER_JOURNAL_KEEP: "90",
        FIREKEEPER_LOG_LEVEL: "debug",
        FIREKEEPER_CORE: "/run/core.sock",
        FIREKEEPER_PROBE_HOST: "[2001:db8::7]",
      }),
    ).toMatchObject({
      home: "/srv/fk",
      store: join(cwd, "conf/host.yaml"),
      apply: "manual",
      instance: "Acme-1",
      maxRemove: 5.5,
      keepRemovedDays: 0,
      aliasDays: 0,
      autoMigrate: true,
      reconcile: "*/5 * * * *",
      timeZone: "Europe/Berlin",
      windows: { text: "0 2 * * * for 2h", impacts: ["listener", "restart"] },
      journalKeepDays: 90,
      logLevel: "debug",
      core: { kind: "socket", path: "/run/core.sock" },
      probeHost: "2001:db8::7",
      notices: [],
    });
  });

  test("comes from .env too; what is set outside wins, and an empty variable is none", () => {
    writeFileSync(join(cwd, ".env"), "FIREKEEPER_MAX_REMOVE=7\nFIREKEEPER_ALIAS_DAYS=8\nFIREKEEPER_KEEP_REMOVED=9\n");
    try {
      expect(read({ FIREKEEPER_ALIAS_DAYS: "1", FIREKEEPER_KEEP_REMOVED: "" })).toMatchObject({
        maxRemove: 7,
        aliasDays: 1,
        keepRemovedDays: 9,
      });
    } finally {
      rmSync(join(cwd, ".env"));
    }
  });

  test.each([
    ["FIREKEEPER_APPLY", "sometimes", "auto or manual"],
    ["FIREKEEPER_MAX_REMOVE", "101", "a percentage from 0 to 100"],
    ["FIREKEEPER_MAX_REMOVE", "few", "a percentage from 0 to 100"],
    ["FIREKEEPER_ALIAS_DAYS", "1.5", "a whole number of days"],
    ["FIREKEEPER_KEEP_REMOVED", "-1", "0 or more days"],
    ["FIREKEEPER_AUTO_MIGRATE", "true", "yes or no"],
    ["FIREKEEPER_RECONCILE", "hourly", "a cron expression"],
    ["FIREKEEPER_WINDOW", "0 2 * * *", "a cron expression of five fields and a length"],
    ["FIREKEEPER_WINDOW_FOR", "live", "a list of listener, restart and migrate"],
    ["FIREKEEPER_JOURNAL_KEEP", "-1", "0 or more days"],
    ["FIREKEEPER_TZ", "Mars/Olympus", "an IANA time zone"],
    ["FIREKEEPER_LOG_LEVEL", "loud", "trace, debug"],
    ["FIREKEEPER_INSTANCE", "a_b", "letters, digits and hyphens"],
    ["FIREKEEPER_INSTANCE", "-a", "letters, digits and hyphens"],
  ])("%s=%s is refused with the rule", (name, value, rule) => {
    expect(() => read({ [name]: value })).toThrow(`${name}=${value}: must be ${rule}`);
  });

  test("all that is wrong is said at once", () => {
    try {
      read({ FIREKEEPER_APPLY: "x", FIREKEEPER_TZ: "y" });
    } catch (error) {
      expect(error).toBeInstanceOf(CodedError);
      expect((error as CodedError).fields).toEqual({ variables: "FIREKEEPER_APPLY FIREKEEPER_TZ" });
      return;
    }
    throw new Error("was accepted");
  });

  test("an unknown name is reported with the nearest known one, without its value", () => {
    const { notices } = read({ FIREKEEPER_ALIASDAYS: "secret", FIREKEEPER_COLOR_SCHEME: "x", PATH: "/bin" });
    expect(notices.map((notice) => [notice.message, notice.hint])).toEqual([
      ["FIREKEEPER_ALIASDAYS is set but means nothing.", "Did you mean FIREKEEPER_ALIAS_DAYS?"],
      ["FIREKEEPER_COLOR_SCHEME is set but means nothing.", undefined],
    ]);
  });

  test("only the embedded store applies by itself", () => {
    expect(applyMode({ apply: undefined }, { kind: "file" })).toBe("auto");
    expect(applyMode({ apply: undefined }, { kind: "postgres" })).toBe("manual");
    expect(applyMode({ apply: "manual" }, { kind: "file" })).toBe("manual");
  });

  test("the table has a row with default and meaning for each variable", () => {
    const rows = environmentTable().trim().split("\n");
    expect(rows.length).toBeGreaterThan(2 + 13);
    expect(rows).toContainEqual(expect.stringMatching(/^\| `FIREKEEPER_ALIAS_DAYS` \| `90` \| Days .*for ever\. \|$/));
    for (const row of rows.slice(2)) expect(row).toMatch(/^\| `FIREKEEPER_[A-Z_]+` \| (`.+` |) ?\| .{20,} \|$/);
  });
});
