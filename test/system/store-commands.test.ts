import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { rolesCommand } from "../../agent/commands/roles.ts";
import { settingsCommand } from "../../agent/commands/settings.ts";
import {
  answerStoreRequest,
  type StoreAccess,
  storeOnDisk,
  storeRequest,
  storeThroughAgent,
} from "../../agent/commands/store-access.ts";
import { usersCommand } from "../../agent/commands/users.ts";
import { credentialsMatch } from "../../agent/credentials.ts";
import { CodedError, explain } from "../../agent/errors.ts";
import { openFileStore } from "../../agent/store/file.ts";
import { parseHostFile } from "../../agent/store/host-file.ts";

let home: string;
let path: string;
/** Every line that goes through the agent's socket. */
let wire: string[];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "firekeeper-commands-"));
  path = join(home, "host.yaml");
  wire = [];
});
afterEach(() => rm(home, { recursive: true, force: true }));

const access = {
  "without an agent": async (): Promise<StoreAccess> => {
    await (await openFileStore({ path, home, create: true })).read();
    return storeOnDisk({ home, store: path });
  },
  "through the agent": async (): Promise<StoreAccess> => {
    const store = await openFileStore({ path, home, create: true });
    await store.read();
    return storeThroughAgent(async (request) => {
      const line = JSON.stringify(request);
      const answer = JSON.stringify(await answerStoreRequest(store, storeRequest.parse(JSON.parse(line))));
      wire.push(line, answer);
      return JSON.parse(answer);
    });
  },
};

describe.each(Object.keys(access) as (keyof typeof access)[])("%s", (how) => {
  let store: StoreAccess;
  beforeEach(async () => {
    store = await access[how]();
  });

  /** What the command prints. */
  const run = async (words: string, input?: string): Promise<string> => {
    const printed: string[] = [];
    const parts = {
      store: async () => store,
      print: (line: string) => void printed.push(line),
      readInput: async () => input ?? "",
      askPassword: undefined,
    };
    const program = new Command()
      .exitOverride()
      .addCommand(usersCommand(parts))
      .addCommand(rolesCommand(parts))
      .addCommand(settingsCommand(parts));
    await program.parseAsync(words.split(" "), { from: "user" });
    return printed.join("\n");
  };
  const refusal = async (words: string, input?: string): Promise<string> => {
    const error = await run(words, input).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CodedError);
    expect((error as CodedError).hint).toBeTruthy();
    return explain(error);
  };
  const file = async () => parseHostFile(await readFile(path, "utf8"), path);

  test("a user is added, gets another password, is disabled, enabled and removed", async () => {
    expect(await run("users add alice --password-stdin --display-name Alice --email a@x.org", "s3cr3t\n")).toMatch(
      /^Added the user alice\. It takes effect when the agent runs\.$/,
    );
    const added = (await file()).users[1];
    expect(added).toMatchObject({ name: "alice", displayName: "Alice", email: "a@x.org" });
    expect(await credentialsMatch(added?.credentials ?? {}, "s3cr3t")).toBe(true);

    const { password } = JSON.parse(await run("users passwd Alice --generate --json"));
    expect(password).toMatch(/^[a-z2-9]{20}$/);
    expect(await credentialsMatch((await file()).users[1]?.credentials ?? {}, password)).toBe(true);

    expect(await run("users disable alice")).toContain("Disabled alice");
    expect(await run("users list")).toMatch(/^alice +Alice +a@x\.org +disabled$/m);
    await run("users enable alice");
    expect(JSON.parse(await run("users list --json"))).toMatchObject([
      { name: "admin", enabled: true, hasPassword: true },
      { name: "alice", enabled: true, hasPassword: true },
    ]);
    expect(await run("users list --json")).not.toContain("SCRAM");
    await run("users remove alice");
    expect((await file()).users.map((user) => user.name)).toEqual(["admin"]);
    expect(wire.join("")).not.toMatch(/s3cr3t/);
    expect(wire.length > 0).toBe(how === "through the agent");
  });

  test("more iterations are used where the host asks for them", async () => {
    await run("settings set sys.xmpp.properties.sasl.scram-sha-1.iteration-count 5000");
    await run("users add alice --generate");
    expect((await file()).users[1]?.credentials?.sha256).toMatch(/^SCRAM-SHA-256\$5000:/);
  });

  test("a role is made, filled, emptied and removed", async () => {
    await run("users add alice --generate");
    expect(await run("roles add xmpp.group Sales alice")).toContain("Added the role Sales of type xmpp.group");
    await run("roles add xmpp.supervisor Sales");
    await run("roles member add Sales admin");
    expect(JSON.parse(await run("roles list --json"))).toEqual([
      { name: "Sales", types: ["xmpp.group", "xmpp.supervisor"], members: ["alice", "admin"] },
    ]);
    await run("roles member remove Sales alice");
    await run("roles add xmpp.group Everyone all");
    expect(await run("roles list")).toMatch(
      /^Sales +xmpp\.group, xmpp\.supervisor +admin\nEveryone +xmpp\.group +all$/m,
    );
    expect(await run("roles add pickup.group Sales")).toMatch(/Note: .*pickup\.group.*passed on/);
    await run("roles remove Sales");
    expect((await file()).roles.map((role) => role.name)).toEqual(["Everyone"]);
  });

  test("settings are set, read, searched and removed", async () => {
    await run("settings set sys.xmpp.java_options -Xmx512m");
    await run("settings set sys.xmpp.properties.xmpp.client.idle -1");
    await run("settings set sys.xmpp.properties.plugin.restapi.secret hush");
    expect(await run("settings get sys.xmpp.java_options")).toBe("-Xmx512m");
    expect(JSON.parse(await run("settings get sys.xmpp.properties.xmpp.client.idle --json"))).toEqual({
      key: "sys.xmpp.properties.xmpp.client.idle",
      value: "-1",
    });
    expect(await run("settings list --search IDLE")).toMatch(
      /^key +value\nsys\.xmpp\.properties\.xmpp\.client\.idle +-1$/,
    );
    expect(await run("settings list")).not.toContain("hush");
    expect(await run("settings set sys.xmpp.domain localhost")).toBe("sys.xmpp.domain has that value already.");
    await run("settings unset sys.xmpp.java_options");
    expect(await refusal("settings get sys.xmpp.java_options")).toContain("does not set");
  });

  test("every slip is answered with what to do", async () => {
    await run("users add alice --generate");
    expect(await refusal("users add bob")).toContain("--password-stdin or --generate");
    expect(await refusal("users add bob --password-stdin", "")).toContain("one line");
    expect(await refusal("users passwd alcie --generate")).toContain("Did you mean alice?");
    expect(await refusal("roles add xmpp.group Sales alise")).toContain("There is no user alise. Did you mean alice?");
    expect(await refusal("roles add xmpp.group Sales all alice")).toContain("not both");
    expect(await refusal("settings get sys.xmpp.domian")).toContain("Did you mean sys.xmpp.domain?");
    expect(await refusal("users remove admin")).toContain("settings set sys.xmpp.adminuser");
    expect((await file()).users.map((user) => user.name)).toEqual(["admin", "alice"]);
  });

  test("a broken file is not touched, and the line is named", async () => {
    const broken = (await readFile(path, "utf8")).replace("- name: admin", "- nam: admin");
    await writeFile(path, broken);
    expect(await refusal("users add bob --generate")).toMatch(
      /host\.yaml:\d+:\d+: nam is no key of a user\. Did you mean name\?/,
    );
    expect(await readFile(path, "utf8")).toBe(broken);
  });
});

test("no host file is made by a command: FIREKEEPER_HOME may be mistaken", async () => {
  const error = await storeOnDisk({ home, store: path }).read().catch(explain);
  expect(error).toMatch(/There is no host file.*FIREKEEPER_HOME/);
});
