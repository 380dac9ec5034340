/** From the agent to the server, and from outside to the server. */
import { isIP } from "node:net";
import { explain } from "../errors.ts";
import { connectFrom } from "../network/vantage.ts";
import type { DnsQuestions } from "./dns.ts";
import type { Facts } from "./facts.ts";
import { type Verdict, verdict } from "./verdict.ts";
import { checkWeb } from "./web.ts";

const timeoutMs = 5000;
const fromOutside = ["c2s", "c2s-tls", "proxy65"];

export async function checkReachability(facts: Facts, resolver: DnsQuestions): Promise<Verdict[]> {
  const addresses = [...facts.external];
  const verdicts = [agent(facts)];
  const { externalSetting: setting } = facts;
  if (setting === undefined) {
    const fix = "set sys.xmpp.externalip to the address or name by which clients outside reach this service";
    verdicts.push(verdict("reachability.address", "warn", "sys.xmpp.externalip", "No external address is set.", fix));
  } else if (addresses.length > 0) {
    verdicts.push(verdict("reachability.address", "ok", "sys.xmpp.externalip", `${setting}: ${addresses.join(", ")}.`));
  } else if (setting === "auto") {
    const fix = "FIREKEEPER_STUN needs servers that answer; the agent must run";
    verdicts.push(
      verdict("reachability.address", "fail", "sys.xmpp.externalip", "auto has found no address yet.", fix),
    );
  } else {
    const answers = [resolver.resolve4(setting), resolver.resolve6(setting)].map((one) => one.catch(() => []));
    addresses.push(...(await Promise.all(answers)).flat());
    verdicts.push(
      addresses.length > 0
        ? verdict(
            "reachability.address",
            "ok",
            "sys.xmpp.externalip",
            `${setting} resolves to ${addresses.join(", ")}.`,
          )
        : verdict(
            "reachability.address",
            "fail",
            "sys.xmpp.externalip",
            `${setting} does not resolve.`,
            `an A record for ${setting}, or an address instead`,
          ),
    );
  }
  return [...verdicts, ...(await outside(facts, addresses)), uploads(facts), ...(await checkWeb(facts))];
}

function agent({ status, server, absent, place }: Facts): Verdict {
  if (server)
    return verdict("reachability.agent", "ok", place.home, `Serves ${server.domain}, revision ${server.revision}.`);
  if (status === undefined)
    return verdict(
      "reachability.agent",
      "warn",
      place.home,
      absent ?? "No agent answers.",
      "npm start, or systemctl start firekeeper",
    );
  const why = "unreachable" in status.server ? status.server.unreachable : "the server does not answer";
  return verdict(
    "reachability.agent",
    "fail",
    place.home,
    why,
    "firekeeper restart; the reason is in logs/server.log of the home",
  );
}

/** The server asks the address itself: what a wrong one answers does not know its key. */
function uploads({ server }: Facts): Verdict {
  const found = server?.uploads;
  if (found === undefined)
    return verdict(
      "reachability.uploads",
      "skipped",
      "uploaded files",
      server === undefined ? "Nothing runs." : "Uploads are off, or the server has not looked yet.",
    );
  if (found.problem === undefined) return verdict("reachability.uploads", "ok", found.address, "This server answers.");
  const fix =
    "sys.xmpp.properties.firekeeper.web.address: the address by which a proxy or router leads to port 7443 here";
  return verdict("reachability.uploads", "fail", found.address, `Files are not there: ${found.problem}.`, fix);
}

async function outside({ from, server, listeners }: Facts, addresses: readonly string[]): Promise<Verdict[]> {
  const of = "from outside";
  if (from.length === 0) {
    const fix = "FIREKEEPER_PROBE_FROM=socks5://HOST:1080, or firekeeper doctor --from socks5://HOST:1080";
    return [verdict("reachability.outside", "skipped", of, "There is no vantage point outside.", fix)];
  }
  if (server === undefined || addresses.length === 0)
    return [verdict("reachability.outside", "skipped", of, "Nothing runs, or no external address is known.")];
  const open = listeners.filter((one) => one.state === "open" && fromOutside.includes(one.name));
  const looks = from.flatMap((point) =>
    addresses.flatMap((host) =>
      open.map(async ({ name, port }) => {
        const where = `${isIP(host) === 6 ? `[${host}]` : host}:${port} (${name}) from ${point.name}`;
        try {
          (await connectFrom(point, { host, port }, timeoutMs)).destroy();
          return verdict("reachability.outside", "ok", where, "Reached.");
        } catch (error) {
          const fix = `forward TCP ${port} to this machine on the router; firekeeper doctor --ports prints its own rules`;
          return verdict("reachability.outside", "fail", where, `Not reached: ${explain(error)}.`, fix);
        }
      }),
    ),
  );
  return Promise.all(looks);
}
