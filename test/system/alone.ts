import { startService } from "../support/processes.ts";
import { XmppClient } from "../support/xmpp-client.ts";

/**
 * A program for a network of its own, where every default port is free: starts a service whose host sets nothing, lets
 * two people chat, and prints what there was to see as one line of JSON.
 */
const service = await startService({
  nothingSet: true,
  host: { users: ["admin", "alice"].map((name) => ({ name, password: name })) },
});
const where = { host: service.host, port: service.ports.plain, domain: service.domain };
const alice = await XmppClient.login({ ...where, user: "alice", password: "alice" });
const admin = await XmppClient.login({
  ...{ ...where, port: service.ports.tls, tls: "direct" as const },
  ...{ user: "admin", password: "admin" },
});
admin.presence();
await admin.ping();
alice.message(admin.bare, "hello");
const heard = await admin.next("message");
const console = await fetch(`http://127.0.0.1:${service.ports.console}/`, { redirect: "manual" });
const seen = {
  addresses: [alice.bare, admin.bare],
  heard: [heard.attrs.from, heard.getChildText("body")],
  certificate: alice.certificate?.subjectAltName,
  console: [console.status, console.headers.get("location")],
  plan: await service.cli(["plan"]),
  status: JSON.parse(await service.run(["status", "--json"])),
};
XmppClient.dropAll();
await service.stop();
process.stdout.write(`seen ${JSON.stringify(seen)}\n`);
process.exit(0);
