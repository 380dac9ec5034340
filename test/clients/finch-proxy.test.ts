import { expect, test } from "vitest";
import type { Session } from "../../xmpp-core/routing/session.ts";
import type { Stanza } from "../../xmpp-core/xml/stanza.ts";
import { freePort, startTestCore } from "../support/core.ts";
import { until } from "../support/processes.ts";
import { finchWith } from "./finch.ts";
import { patienceMs } from "./real-client.ts";

const missing = await finchWith({}).missing();
const bytestreams = "http://jabber.org/protocol/bytestreams";

/** As users of Pidgin do: Advanced, File transfer proxies. What is typed is a name that discovery does not give: the former one. */
test.skipIf(missing !== undefined)("a file transfer proxy that a person typed is asked and answers (R13)", async () => {
  const port = String(await freePort());
  const core = await startTestCore({
    ...{ domain: "old.example", users: ["alice", "bob"] },
    properties: { "xmpp.proxy.enabled": "true", "xmpp.proxy.port": port, "xmpp.proxy.externalip": "192.0.2.7" },
  });
  await core.rename("new.example", null);
  const asked = new Set<string | undefined>();
  const { router } = core.server;
  const receive = router.receive;
  router.receive = (session: Session, stanza: Stanza) => {
    if (stanza.children.some((child) => child.ns === bytestreams)) asked.add(stanza.to);
    return receive(session, stanza);
  };
  const where = { host: "127.0.0.1", port: core.port, domain: "new.example" };
  const alice = await finchWith({ settings: { ft_proxies: "proxy.old.example" } }).login({
    ...{ ...where, user: "alice", password: "alice" },
  });
  try {
    await until(
      async () => asked.has("proxy.old.example"),
      patienceMs,
      () => `Finch asked ${[...asked].join(", ") || "nobody"}`,
    );
    const bob = await core.login("bob", where);
    const answer = await bob.get(`<query xmlns='${bytestreams}'/>`, "proxy.old.example");
    expect(answer.getChild("query", bytestreams)?.getChild("streamhost")?.attrs).toMatchObject({
      ...{ host: "192.0.2.7", port },
    });
  } finally {
    await alice.stop();
    await core.close();
  }
});
