import { afterAll, beforeAll, expect, test } from "vitest";
import { loadDriver } from "../../xmpp-core/storage/driver.ts";
import { write } from "../../xmpp-core/storage/statement.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { mam, readArchive } from "../support/mam.ts";
import { type ManualClock, manualClock } from "../support/manual-clock.ts";
import { authenticate, phone, requestToken, tokenOf } from "../support/sasl2.ts";
import { XmppClient } from "../support/xmpp-client.ts";

const accountId = 7_654_321;
let core: TestCore;
let clock: ManualClock;
beforeAll(async () => {
  clock = manualClock();
  const properties = {
    ...{ "register.inband": "true", "firekeeper.register.captcha": "false" },
    ...{ "firekeeper.password.least-length": "1", "xmpp.client.idle": "-1" },
    // Slots for files are given although no port for browsers is open; what becomes of files: http-upload-life.test.ts.
    ...{ "firekeeper.web.address": "https://chat.example.org", "firekeeper.upload.keep-free-bytes": "0" },
  };
  core = await startTestCore({ users: ["admin", "bob"], clock, properties });
  // A number that stands nowhere by chance.
  const remember = write<[number]>("INSERT INTO removed_account (one, highest) VALUES (1, ?)");
  await core.server.storage.write([remember.with(accountId - 1)]);
  await core.restart();
  const stranger = await XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: core.domain });
  const account = "<username>zebedee</username><password>zebedee</password>";
  await stranger.set(`<query xmlns='jabber:iq:register'>${account}</query>`);
  await stranger.close();
});
afterAll(() => core.close());

/** Every table of every module with a row that holds the account's number or name. */
function traces(): string[] {
  const database = loadDriver().open(`${core.home}/core.db`, { readOnly: true });
  const text = (sql: string): string[] =>
    database
      .prepare(sql)
      .rows([])
      .map(([value]) => String(value));
  try {
    const tables = text("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'archive_text%'");
    const found = tables.filter((table) => {
      const rows = database.prepare(`SELECT * FROM "${table}"`).rows([]);
      return rows.some((row) =>
        row.some((value) => {
          if (typeof value === "number" || typeof value === "bigint") return Number(value) === accountId;
          return value !== null && Buffer.from(value as Uint8Array | string).includes("zebedee");
        }),
      );
    });
    const words = text("SELECT rowid FROM archive_text WHERE archive_text MATCH 'o7654321 OR zebedee'");
    return [...found, ...(words.length > 0 ? ["archive_text"] : [])].sort();
  } finally {
    database.close();
  }
}

test("who is removed leaves no row in any table", async () => {
  const never = `<prefs xmlns='${mam}' default='never'><always/><never/></prefs>`;
  const bob = await core.login("bob", { resource: "b" });
  await bob.set(never);
  const zebedee = await core.login("zebedee", { resource: "z", sm: true });
  const device = await XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: core.domain });
  const known = await authenticate(device, { user: "zebedee", agent: phone, inside: requestToken() });
  expect(tokenOf(known)).toBeDefined();
  const answers = await Promise.all([
    zebedee.set("<query xmlns='jabber:iq:roster'><item jid='bob@localhost'><group>g</group></item></query>"),
    zebedee.set("<vCard xmlns='vcard-temp'><FN>zebedee</FN></vCard>"),
    zebedee.set("<query xmlns='jabber:iq:private'><n xmlns='urn:n'>zebedee</n></query>"),
    zebedee.set(`<prefs xmlns='${mam}' default='always'><always><jid>bob@localhost</jid></always><never/></prefs>`),
    zebedee.set("<query xmlns='jabber:iq:privacy'><list name='l'><item action='allow' order='1'/></list></query>"),
    zebedee.set(
      "<block xmlns='urn:xmpp:blocking'><item jid='x@localhost'><report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/></item></block>",
    ),
    zebedee.set(
      "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:x:zebedee'><item id='1'><x xmlns='urn:x'>zebedee</x></item></publish></pubsub>",
    ),
    zebedee.get("<request xmlns='urn:xmpp:http:upload:0' filename='zebedee.txt' size='1'/>", "upload.localhost"),
    zebedee.set("<enable xmlns='urn:xmpp:push:0' jid='push.example' node='zebedee'/>"),
    zebedee.set(
      "<command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp:invite#invite' action='execute'/>",
      "localhost",
    ),
    // What others keep for his name.
    bob.set("<enable xmlns='urn:xmpp:push:0' jid='zebedee@localhost/z' node='b'/>"),
    bob.set(`<prefs xmlns='${mam}' default='never'><always/><never><jid>zebedee@localhost</jid></never></prefs>`),
    bob.set(
      "<query xmlns='jabber:iq:privacy'><list name='b'><item type='jid' value='zebedee@localhost' action='allow' order='1'/></list></query>",
    ),
  ]);
  expect(answers.map((answer) => answer.attrs.type)).toEqual(Array(answers.length).fill("result"));
  await zebedee.set("<query xmlns='jabber:iq:privacy'><default name='l'/></query>");
  zebedee.message("bob@localhost/b", "from zebedee");
  zebedee.message("zebedee@localhost", "note to self");
  await bob.next("message");
  // Nobody is ready for it: it waits offline.
  bob.message("zebedee@localhost", "for zebedee");
  await bob.ping();
  await zebedee.ping();
  expect((await readArchive(zebedee)).bodies).toHaveLength(3);
  const search = `<x xmlns='jabber:x:data' type='submit'><field var='{urn:xmpp:fulltext:0}fulltext'><value>zebedee</value></field></x>`;
  expect((await readArchive(zebedee, search)).bodies).toHaveLength(2);
  expect(traces()).toEqual(
    expect.arrayContaining([
      ...["abuse_report", "account", "archive", "archive_preference", "archive_rule", "archive_text", "blocked"],
      ...["device", "login_token"],
      ...[
        "credentials",
        "invitation",
        "offline",
        "privacy_default",
        "privacy_list",
        "private_storage",
        "push",
        "roster_item",
        "stanza",
        "upload",
        "vcard",
      ],
    ]),
  );
  const removed = await zebedee.set("<query xmlns='jabber:iq:register'><remove/></query>", "localhost");
  expect(removed.attrs.type).toBe("result");
  await zebedee.ended;
  // What an ended session was owed is looked at before bodies that nobody waits for go.
  clock.pass(3600_000);
  // Only that the number was given stays, so that nobody else gets it.
  await expect.poll(traces).toEqual(["removed_account"]);
});
