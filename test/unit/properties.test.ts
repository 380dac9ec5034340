import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { catalogueEntries, mucServiceEntries, nearestKey, standingOf } from "../../xmpp-core/properties/catalogue.ts";
import { propertiesPage } from "../../xmpp-core/properties/page.ts";
import { type Property, property } from "../../xmpp-core/properties/property.ts";
import { openProperties } from "../../xmpp-core/properties/registry.ts";
import {
  addressIn,
  addressList,
  boolean,
  enumeration,
  host,
  integer,
  jidList,
  list,
  milliseconds,
  port,
  portOrOff,
  readText,
  seconds,
  type TextSchema,
  text,
} from "../../xmpp-core/properties/text-schema.ts";

const idle = property("xmpp.client.idle", {
  schema: milliseconds.min(-1),
  default: 360_000,
  impact: "live",
  doc: "Silence after which a connection is pinged, then closed.",
});
const fqdn = property("fqdn", {
  schema: host,
  default: undefined,
  impact: "live",
  doc: "Host name of this machine.",
  aliases: ["xmpp.fqdn"],
});
const allowed = property("xmpp.client.login.allowed", {
  schema: addressList,
  default: [],
  impact: "live",
  doc: "Who may log in.",
});
const policy = property("xmpp.client.tls.policy", {
  schema: enumeration("disabled", "optional", "required"),
  default: "required",
  impact: "listener",
  doc: "Whether clients must use TLS.",
  weakens: (value) => (value === "required" ? undefined : `TLS is ${value}.`),
});
const adminSecret = property("plugin.restapi.secret", {
  schema: text,
  default: undefined,
  impact: "live",
  doc: "Secret of the REST interface.",
  secret: true,
});
const declared: Property<unknown>[] = [idle, fqdn, allowed, policy, adminSecret];
const open = (values: Record<string, string> = {}, more: Property<unknown>[] = []) =>
  openProperties([...declared, ...more], new Map(Object.entries(values)));

describe("schemas", () => {
  const rows: [string, TextSchema<never>, [given: string, canonical: string | null][]][] = [
    [
      "boolean",
      boolean as never,
      [
        ["TRUE", "true"],
        [" true", "true"],
        ["False", "false"],
        ["yes", null],
        ["1", null],
        ["", null],
      ],
    ],
    [
      "integer",
      integer(-1, 100) as never,
      [
        ["7", "7"],
        [" +007 ", "7"],
        ["-1", "-1"],
        ["-0", "0"],
        ["-2", null],
        ["101", null],
        ["1.5", null],
        ["1e1", null],
        ["0x10", null],
        ["", null],
      ],
    ],
    [
      "milliseconds",
      milliseconds as never,
      [
        ["360000", "360000"],
        ["0", "0"],
        ["-1", null],
        ["6m", null],
        ["99999999999999", null],
      ],
    ],
    [
      "milliseconds or -1",
      milliseconds.min(-1) as never,
      [
        ["-1", "-1"],
        ["-2", null],
      ],
    ],
    [
      "seconds",
      seconds as never,
      [
        ["30", "30"],
        ["soon", null],
      ],
    ],
    [
      "port",
      port as never,
      [
        ["5222", "5222"],
        ["0", null],
        ["65536", null],
        ["-1", null],
      ],
    ],
    [
      "port or off",
      portOrOff as never,
      [
        ["9090", "9090"],
        ["-1", "-1"],
        ["0", null],
        ["-2", null],
      ],
    ],
    [
      "enumeration",
      enumeration("store", "store_and_bounce") as never,
      [
        ["STORE", "store"],
        [" Store_And_Bounce ", "store_and_bounce"],
        ["", null],
        ["constructor", null],
      ],
    ],
    [
      "text",
      text as never,
      [
        [" a b ", "a b"],
        ["", null],
        ["a\nb", null],
        ["a\u0000", null],
        ["x".repeat(4001), null],
      ],
    ],
    [
      "host",
      host as never,
      [
        ["Chat.Example.ORG.", "chat.example.org"],
        ["bücher.example", "xn--bcher-kva.example"],
        ["192.0.2.7", "192.0.2.7"],
        ["[2001:DB8::0:1]", "2001:db8::1"],
        ["a_b", null],
        ["-a.com", null],
        ["a..b", null],
        ["http://a", null],
        ["a/b", null],
        ["a?b", null],
        ["a%62", null],
        ["a\tb", null],
        ["1.2.3", null],
        ["0x7f000001", null],
        ["a:5222", null],
        ["1.2.3.999", null],
        ["", null],
      ],
    ],
    [
      "list",
      list() as never,
      [
        ["b, a b", "b,a"],
        ["", ""],
        [" , ", ""],
      ],
    ],
    [
      "addresses",
      addressList as never,
      [
        ["10.0.0.1, 10.1.2.3/8", "10.0.0.1,10.0.0.0/8"],
        ["2001:DB8::5/32", "2001:db8::/32"],
        ["10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.9"],
        ["192.168.*.*", "192.168.0.0/16"],
        ["10.*.1.*", null],
        ["10.0.0.9-10.0.0.1", null],
        ["10.0.0.1-::1", null],
        ["10.0.0", null],
        ["10.0.0.0/33", null],
        ["10.0.0.0/-1", null],
        ["10.0.0.0/8/8", null],
        ["::ffff:10.0.0.0/104", "10.0.0.0/8"],
        ["::ffff:10.0.0.0/95", null],
        ["10.1-10.2", null],
        ["0x0a000001", null],
        ["010.0.0.1", null],
        ["fe80::1%eth0", null],
        ["x", null],
        ["", ""],
      ],
    ],
    [
      "JIDs",
      jidList as never,
      [
        ["alice@example.org,bob", "alice@example.org,bob"],
        ["a@b/c", null],
        ["@b", null],
      ],
    ],
  ];
  test.each(rows)("%s", (_, schema, values) => {
    for (const [given, canonical] of values) {
      const read = readText(schema, given);
      expect(read ? schema.write(read.value) : null, JSON.stringify(given)).toBe(canonical);
      // The canonical text is its own canonical text, or a second plan would not be empty.
      if (canonical !== null) expect(readText(schema, canonical), canonical).toEqual(read);
      else expect(schema.hint(given)).toMatch(/[.\w]$/);
    }
  });

  test("whatever is written, reading never throws and the canonical text is its own", () => {
    const schemas = rows.map(([, schema]) => schema);
    const pieces = [
      "10.0.0.1",
      "::ffff:10.0.0.1",
      "2001:db8::1",
      "-",
      "/",
      "8",
      "*",
      ".",
      "%",
      ",",
      " ",
      "a",
      "XN--",
      "ü",
      "\u0000",
      "@",
      "+",
      "0",
      "9",
      "\u202e",
      "[",
      "]",
    ];
    const likely = fc.array(fc.constantFrom(...pieces), { maxLength: 6 }).map((parts) => parts.join(""));
    let read = 0;
    fc.assert(
      fc.property(fc.nat(schemas.length - 1), fc.oneof(fc.string({ unit: "binary" }), likely), (which, given) => {
        const schema = schemas[which] as TextSchema<never>;
        const value = readText(schema, given);
        if (!value) {
          expect(typeof schema.hint(given)).toBe("string");
          return;
        }
        read += 1;
        const canonical = schema.write(value.value);
        expect(readText(schema, canonical)).toEqual(value);
      }),
      { numRuns: 5000 },
    );
    expect(read).toBeGreaterThan(200);
  });

  test("hints say what to write", () => {
    expect(milliseconds.hint("6 minutes")).toBe("6 minutes would be 360000.");
    expect(seconds.hint("2h")).toBe("2h would be 7200.");
    expect(milliseconds.hint("soon")).toBe("6 minutes would be 360000.");
    expect(integer(1, 5).hint("9")).toBe("The most is 5.");
    expect(boolean.hint("yes")).toContain('"yes" for false');
    expect(enumeration("a", "b", "c").hint("x")).toBe("Write a, b or c.");
    expect(addressList.hint("10.0.0.1,home")).toContain('"home"');
  });

  test("an address is found in addresses, networks and ranges, and nowhere else", () => {
    const entries = readText(addressList, "10.0.0.1,172.16.0.0/12,192.0.2.5-192.0.2.7,2001:db8::/32")?.value ?? [];
    for (const inside of ["10.0.0.1", "::ffff:10.0.0.1", "172.31.255.1", "192.0.2.5", "192.0.2.7", "2001:db8:1::1"]) {
      expect(addressIn(entries, inside), inside).toBe(true);
    }
    for (const outside of ["10.0.0.2", "172.32.0.1", "192.0.2.4", "192.0.2.8", "2001:db9::1", "nonsense", ""]) {
      expect(addressIn(entries, outside), outside).toBe(false);
    }
  });
});

describe("reading", () => {
  test("the default until a value is stored", () => {
    expect(open().get(idle)).toBe(360_000);
    expect(open().get(fqdn)).toBeUndefined();
    expect(open({ "xmpp.client.idle": " 5 " }).get(idle)).toBe(5);
  });

  test("a stored value that cannot be read leaves the default in force and is named", () => {
    const registry = open({ "xmpp.client.idle": "soon" });
    expect(registry.get(idle)).toBe(360_000);
    const description = registry.describe().find(({ key }) => key === "xmpp.client.idle");
    expect(description?.unreadable).toEqual({
      rule: "a whole number of milliseconds, or -1",
      hint: "6 minutes would be 360000.",
    });
  });

  test("an old name counts until the real one is set", () => {
    expect(open({ "xmpp.fqdn": "old.example" }).get(fqdn)).toBe("old.example");
    expect(open({ "xmpp.fqdn": "old.example", fqdn: "new.example" }).get(fqdn)).toBe("new.example");
  });

  test("child rows are a list, in the order of their numbers, and win over the key itself", () => {
    const key = "xmpp.client.login.allowed";
    expect(
      open({ [`${key}.00002`]: "10.0.0.2", [`${key}.00001`]: "10.0.0.1", [key]: "10.9.9.9" }).get(allowed),
    ).toEqual(["10.0.0.1", "10.0.0.2"]);
    expect(open({ [`${key}.00001`]: "", [key]: "10.9.9.9" }).get(allowed)).toEqual([]);
    expect(open({ [`${key}.more`]: "10.0.0.1" }).get(allowed)).toEqual([]);
    expect(open({ "xmpp.client.idle.00001": "5" }).get(idle)).toBe(360_000);
  });
});

describe("changing", () => {
  test("watchers see the new and the former value, once, and not when it stays the same", () => {
    const registry = open();
    const seen: [number, number][] = [];
    const stop = registry.watch(idle, (value, before) => seen.push([value, before]));
    registry.set(new Map([["xmpp.client.idle", "5"]]));
    registry.set(new Map([["xmpp.client.idle", " 05"]]));
    registry.set(new Map([["fqdn", "a.example"]]));
    registry.set(new Map([["xmpp.client.idle", null]]));
    stop();
    registry.set(new Map([["xmpp.client.idle", "7"]]));
    expect(seen).toEqual([
      [5, 360_000],
      [360_000, 5],
    ]);
  });

  test("all or none", () => {
    const registry = open();
    const change = new Map([
      ["fqdn", "a.example"],
      ["xmpp.client.idle", "soon"],
    ]);
    expect(() => registry.set(change)).toThrow(
      expect.objectContaining({
        code: "property/value",
        message: "xmpp.client.idle must be a whole number of milliseconds, or -1.",
        hint: "6 minutes would be 360000.",
        fields: expect.objectContaining({ value: "soon" }),
      }),
    );
    expect(registry.get(fqdn)).toBeUndefined();
  });

  test("a refused secret is not quoted", () => {
    expect(() => open().set(new Map([["plugin.restapi.secret", "top\nsecret"]]))).toThrow(
      expect.objectContaining({
        fields: expect.not.objectContaining({ value: expect.anything() }),
        hint: expect.not.stringContaining("top"),
      }),
    );
  });

  test("nor is it in the hint, whatever its schema would say", () => {
    const hidden = property("plugin.x.networks", {
      schema: addressList,
      default: [],
      impact: "live",
      doc: "Hidden.",
      secret: true,
    });
    expect(addressList.hint("hunter2")).toContain("hunter2");
    expect(JSON.stringify(open({}, [hidden]).canonical("plugin.x.networks", "hunter2"))).not.toContain("hunter2");
  });

  test("deleting a key leaves the keys below it", () => {
    const key = "xmpp.client.login.allowed";
    const registry = open({ [`${key}.00001`]: "10.0.0.1", [key]: "10.9.9.9" });
    registry.set(new Map([[key, null]]));
    expect([...registry.stored().keys()]).toEqual([`${key}.00001`]);
    expect(registry.get(allowed)).toEqual(["10.0.0.1"]);
  });

  test("a child row tells the watchers of its list", () => {
    const registry = open();
    const seen: unknown[] = [];
    registry.watch(allowed, (value) => seen.push(value));
    registry.set(new Map([["xmpp.client.login.allowed.00001", "10.0.0.1"]]));
    expect(seen).toEqual([["10.0.0.1"]]);
  });

  test("a watcher that throws keeps no other from running", () => {
    const registry = open();
    const seen: number[] = [];
    registry.watch(idle, () => {
      throw new Error("no");
    });
    registry.watch(idle, (value) => seen.push(value));
    expect(() => registry.set(new Map([["xmpp.client.idle", "5"]]))).toThrow(AggregateError);
    expect(seen).toEqual([5]);
    expect(registry.get(idle)).toBe(5);
  });
});

describe("canonical", () => {
  const registry = open();
  const rows: [string, string, object][] = [
    [
      "xmpp.client.idle",
      " +5",
      { is: "value", text: "5", impact: "live", effect: "honoured", notes: [], secret: false },
    ],
    ["xmpp.client.idle", "soon", { is: "rejected", code: "property/value", hint: "6 minutes would be 360000." }],
    ["xmpp.client.tls.policy", "OPTIONAL", { text: "optional", impact: "listener", weakens: "TLS is optional." }],
    [
      "xmpp.fqdn",
      "A.example",
      { text: "a.example", effect: "honoured", notes: [expect.stringContaining("old name of fqdn")] },
    ],
    [
      "xmpp.client.login.allowed.00001",
      "10.0.0.1",
      { effect: "honoured", notes: [expect.stringContaining("one item")] },
    ],
    ["xmpp.client.login.allowed.00001", "home", { is: "rejected" }],
    ["xmpp.domain", "example.org", { is: "rejected", code: "property/reserved", hint: "Set sys.xmpp.domain instead." }],
    [
      "admin.authorizedJIDs",
      "a@b",
      { is: "rejected", code: "property/reserved", hint: "Set sys.xmpp.adminuser instead." },
    ],
    ["xmpp.muc.enabled", " TRUE", { is: "value", text: " TRUE", effect: "later", impact: "live" }],
    ["cache.Roster.size", "5", { effect: "none", notes: [expect.stringContaining("Java caches")] }],
    ["autosetup.users.user12.name", "x", { effect: "none" }],
    ["xmpp.client.idel", "5", { effect: "unknown", text: "5", notes: ["Perhaps xmpp.client.idle was meant."] }],
    ["XMPP.CLIENT.IDLE", "5", { effect: "unknown", notes: ["Perhaps xmpp.client.idle was meant."] }],
    ["something.else", "5", { effect: "unknown", notes: [], secret: false }],
    ["something.password", "5", { effect: "unknown", secret: true }],
    ["mail.smtp.password", "5", { effect: "later", secret: true }],
    ["database.defaultProvider.username", "u", { effect: "none", secret: true }],
    ["register.password", "true", { effect: "later", secret: false }],
    ["__proto__", "5", { effect: "unknown" }],
  ];
  test.each(rows)("%s = %j", (key, given, answer) => expect(registry.canonical(key, given)).toMatchObject(answer));

  test("what is stored is the canonical text", () => {
    const changed = open();
    changed.set(
      new Map([
        ["fqdn", "A.Example"],
        ["something.else", " x "],
      ]),
    );
    expect(Object.fromEntries(changed.stored())).toEqual({ fqdn: "a.example", "something.else": " x " });
  });

  test("a value without weakness says nothing", () => {
    expect(registry.canonical("xmpp.client.tls.policy", "required")).not.toHaveProperty("weakens");
  });
});

describe("declarations", () => {
  const other = (key: string, aliases: string[] = []) =>
    property(key, { schema: boolean, default: true, impact: "live", doc: "A thing.", aliases });
  test.each([
    ["a key twice", other("fqdn"), "property/declared-twice"],
    ["a key that is an old name", other("xmpp.fqdn"), "property/declared-twice"],
    ["a reserved key", other("xmpp.domain"), "property/reserved"],
    ["a key that is nobody's", other("my.own"), "property/unknown-name"],
  ])("%s is refused", (_, extra, code) => {
    expect(() => open({}, [extra])).toThrow(expect.objectContaining({ code }));
  });

  test("our own and a plug-in's keys may be declared", () => {
    expect(open({}, [other("firekeeper.x"), other("plugin.x")]).get(idle)).toBe(360_000);
  });

  test("a property that nobody declared to the registry cannot be read", () => {
    expect(() => open().get(other("firekeeper.y"))).toThrow(expect.objectContaining({ code: "property/undeclared" }));
  });
});

describe("descriptions", () => {
  test("show what is in force, and of a secret only that it is set", () => {
    const all = open({
      "plugin.restapi.secret": "s3cret",
      "xmpp.client.tls.policy": "optional",
      "odd.key": "1",
      "mail.smtp.password": "p",
    });
    const find = (key: string) => all.describe().find((one) => one.key === key);
    expect(find("xmpp.client.tls.policy")).toMatchObject({
      effect: "honoured",
      value: "optional",
      stored: true,
      default: "required",
      openfireDefault: "optional",
      weakens: "TLS is optional.",
      options: ["disabled", "optional", "required"],
      impact: "listener",
    });
    expect(find("plugin.restapi.secret")).toMatchObject({ secret: true, stored: true, value: undefined });
    expect(find("mail.smtp.password")).toMatchObject({ secret: true, stored: true, value: undefined });
    expect(find("odd.key")).toMatchObject({ effect: "unknown", value: "1" });
    expect(find("fqdn")).toMatchObject({ stored: false, value: undefined, default: undefined });
    expect(JSON.stringify(all.describe())).not.toMatch(/s3cret/);
  });

  test("name every key once", () => {
    const keys = open({ fqdn: "a.example", "xmpp.client.login.allowed.00001": "10.0.0.1" })
      .describe()
      .map(({ key }) => key);
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys).not.toContain("xmpp.fqdn");
    expect(keys).not.toContain("xmpp.client.login.allowed.00001");
    expect(keys).toContain("xmpp.muc.enabled");
  });
});

describe("the catalogue", () => {
  test("holds all of Openfire's keys, each once", () => {
    const keys = catalogueEntries().map(({ key }) => key);
    expect(keys.length).toBe(763);
    expect(new Set(keys).size).toBe(763);
    expect(catalogueEntries().filter(({ pattern }) => pattern).length).toBe(14);
    expect(mucServiceEntries.length).toBe(36);
  });

  test("every key is reserved, without effect for a reason, or not yet", () => {
    const counts = { reserved: 0, none: 0, later: 0, unknown: 0 };
    for (const { key } of catalogueEntries()) counts[standingOf(key).is] += 1;
    expect(counts).toMatchObject({ reserved: 2, unknown: 0 });
    expect(counts.none).toBeGreaterThan(267);
    expect(counts.later).toBeGreaterThan(300);
  });

  test("every key that only a JVM has is without effect, with a sentence for people", async () => {
    const { default: raw } = await import("../../xmpp-core/properties/catalogue.json", { with: { type: "json" } });
    const jvm = raw.properties.filter(({ applies }) => applies === "jvm");
    expect(jvm.length).toBe(267);
    for (const { key } of jvm) {
      const standing = standingOf(key);
      expect(standing.is === "none" ? standing.reason : `${key} is ${standing.is}`).toMatch(/^[A-Z].{20,}\.$/);
    }
  });

  test("what issue 3 honours is never written off", () => {
    const honoured = [
      "xmpp.socket.plain.active",
      "xmpp.socket.plain.port",
      "xmpp.socket.ssl.active",
      "xmpp.socket.ssl.port",
      "xmpp.client.idle",
      "xmpp.client.idle.ping",
      "xmpp.client.tls.policy",
      "xmpp.session.conflict-limit",
      "xmpp.offline.type",
      "xmpp.offline.quota",
      "xmpp.proxy.enabled",
      "xmpp.proxy.port",
      "xmpp.proxy.externalip",
      "xmpp.proxy.service",
      "xmpp.privateStorageEnabled",
      "xmpp.client.roster.active",
      "xmpp.client.roster.versioning.active",
      "stream.management.active",
      "sasl.mechs",
      "sasl.scram-sha-1.iteration-count",
      "xmpp.client.login.allowed",
      "xmpp.client.login.blocked",
      "register.inband",
      "xmpp.ratelimit.newconnections.c2s.enabled",
      "adminConsole.port",
      "adminConsole.securePort",
      "network.interface",
      "fqdn",
      "xmpp.fqdn",
    ];
    for (const key of honoured) expect(standingOf(key).is, key).toBe("later");
  });

  test("patterns fit what they name and nothing else", () => {
    expect(standingOf("autosetup.users.user1.roster.item2.jid").is).toBe("none");
    expect(standingOf("autosetup.users.userX.name").is).toBe("unknown");
    expect(standingOf("cache.a.b.size").is).toBe("unknown");
  });

  test("a key that is far from all others is like none", () => {
    expect(nearestKey("firekeeper.something.new", [])).toBeUndefined();
    expect(nearestKey("firekeeper.alpha.betta", ["firekeeper.alpha.beta"])).toBe("firekeeper.alpha.beta");
  });
});

describe("docs/properties.md", () => {
  const page = propertiesPage(declared);
  test("has a row for each declaration and names every other key once", () => {
    expect(page).toContain(
      "| `xmpp.client.idle` | Silence after which a connection is pinged, then closed. | a whole number of milliseconds, or -1 | `360000` | milliseconds | live |",
    );
    for (const { key } of catalogueEntries()) {
      expect(page.split(`\`${key}\``).length - 1, key).toBeGreaterThan(key === "xmpp.fqdn" ? -1 : 0);
    }
    expect(page).toContain("- `xmpp.domain`: refused, set `sys.xmpp.domain`");
  });

  test("lists the defaults that differ from Openfire's, and only those", () => {
    const differences = page.split("## Where our default differs")[1]?.split("\n## ")[0] ?? "";
    expect(differences).toContain("| `xmpp.client.tls.policy` | `required` | `optional` |");
    expect(differences).not.toContain("xmpp.client.idle");
  });
});
