/** Every request the server answers, as the modules declare them, with what nobody should send. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stanzaErrorTypes } from "../../xmpp-core/formats/stanza-error.ts";
import { allModules } from "../../xmpp-core/modules/all.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

let core: TestCore;
let alice: XmppClient;

beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob"] });
  alice = await core.login("alice");
  alice.presence();
});
afterAll(() => core.close());

const form = (fields: string): string => `<x xmlns='jabber:x:data' type='submit'>${fields}</x>`;
const field = (name: string, ...values: string[]): string =>
  `<field var='${name}'>${values.map((value) => `<value>${value}</value>`).join("")}</field>`;
const page = (inside: string): string => `<set xmlns='http://jabber.org/protocol/rsm'>${inside}</set>`;
const quote = "&apos; OR 1=1; DROP TABLE account; --";
const many = (piece: string, times: number): string => piece.repeat(times);

/** Attributes and inside of the payload. */
const nasty: readonly (readonly [name: string, attributes: string, inside: string])[] = [
  ["nothing", "", ""],
  [
    "prototypes as keys",
    "node='__proto__'",
    form(field("__proto__", "constructor") + field("constructor", "__proto__")),
  ],
  ["SQL as names", `node='${quote}' sid='${quote}'`, form(field(quote, quote) + field("FORM_TYPE", quote))],
  ["two form types", "", form(field("FORM_TYPE", "a") + field("FORM_TYPE", "b"))],
  ["many fields", "", form(many(field("x", "1"), 400))],
  ["many values", "", form(field("muc#roomconfig_roomadmins", ...Array<string>(400).fill("a@b")))],
  ["a form in a form", "", form(form(form(field("a", "b"))))],
  ["no type of form", "", "<x xmlns='jabber:x:data' type='__proto__'/>"],
  ["a negative page", "", page("<max>-1</max>")],
  ["an endless page", "", page("<max>99999999999999999999</max>")],
  ["a page behind nothing", "", page(`<max>2</max><after>${quote}</after>`)],
  ["a page before nothing", "", page("<max>2</max><before>__proto__</before>")],
  ["a page from nowhere", "", page("<max>2</max><index>-7</index>")],
  ["no addresses", "jid='@@/' from='__proto__'", "<item jid='__proto__'/><item jid='a@b@c'/><item/>"],
  ["text for elements", "", many("x", 3000)],
  ["strange children", "action='__proto__' sessionid='constructor'", many("<hasOwnProperty xmlns='urn:x'/>", 200)],
  ["deep", "", `${many("<a>", 30)}${many("</a>", 30)}`],
];

interface Asked {
  readonly of: string;
  readonly to: string | undefined;
  readonly type: "get" | "set";
  readonly name: string;
  readonly ns: string;
}

function everyRequest(): Asked[] {
  const { names } = core.server;
  return core.server.handlers.flatMap(({ iq }, index) =>
    (iq ?? []).flatMap((handler) =>
      (["get", "set"] as const).flatMap((type) => {
        const payload = handler[type];
        if (payload === undefined) return [];
        const of = allModules[index]?.name ?? "";
        return handler.at.flatMap((at): Asked[] => {
          const service = at.startsWith("service:") ? at.slice("service:".length) : undefined;
          const host = names.hostName("localhost", service === "*" ? "proxy" : (service ?? ""));
          const to =
            at === "account" ? [undefined, "bob@localhost"] : service === undefined ? [host] : [host, `lobby@${host}`];
          return to.map((one) => ({ of, to: one, type, ns: payload[0], name: payload[1] }));
        });
      }),
    ),
  );
}

describe("whatever a request holds, it is answered, and the server is as it was", () => {
  test.each(nasty)("%s", async (_name, attributes, inside) => {
    const all = everyRequest();
    expect(all.length).toBeGreaterThan(30);
    for (const [at, { to, type, ns, name }] of all.entries()) {
      const address = to === undefined ? "" : ` to='${to}'`;
      alice.send(
        `<iq type='${type}' id='n${at}'${address}><${name} xmlns='${ns}' ${attributes}>${inside}</${name}></iq>`,
      );
    }
    for (const [at, { of, to, type, name }] of all.entries()) {
      const what = `${type} ${name} of ${of} at ${to ?? "one's own account"}`;
      const answer = await alice.next("iq", (stanza) => stanza.attrs.id === `n${at}`);
      const error = answer.getChild("error");
      expect(answer.attrs.type, what).toBe(error === undefined ? "result" : "error");
      const conditions = error?.getChildElements().map((child) => child.getName()) ?? [];
      if (error !== undefined)
        expect(conditions.filter((one) => Object.hasOwn(stanzaErrorTypes, one)).length, what).toBe(1);
      expect(conditions, what).not.toContain("internal-server-error");
      expect(answer.toString().length, what).toBeLessThan(256 * 1024);
    }
    await alice.ping();
    expect(core.server.accounts.size).toBe(2);
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
});
