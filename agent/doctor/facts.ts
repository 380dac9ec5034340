/** What every check starts from: the environment, the store, and the running agent if there is one. */
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { z } from "zod";
import type { CoreStatus } from "../../xmpp-core/control/contract.ts";
import type { StatusDocument } from "../agent.ts";
import { type StoreView, storeOnDisk, storeView } from "../commands/store-access.ts";
import { wantedSettings } from "../desired/settings.ts";
import type { Environment } from "../environment.ts";
import { explain } from "../errors.ts";
import type { VantagePoint } from "../network/vantage.ts";

export type Place = Pick<Environment, "home" | "store" | "storeConfig" | "instance" | "probeHost" | "probeFrom"> &
  Partial<Pick<Environment, "resolver">>;

export type Listener = Pick<
  CoreStatus["listeners"][number],
  "name" | "address" | "port" | "state" | "error" | "proxies"
>;

export interface Facts {
  readonly place: Place;
  /** Undefined: no agent answers; `absent` says why. */
  readonly status: StatusDocument | undefined;
  readonly absent: string | undefined;
  readonly server: CoreStatus | undefined;
  readonly store: StoreView | { readonly unreadable: string };
  readonly settings: ReadonlyMap<string, string>;
  readonly domain: string;
  /** As the server reports them, else as the settings ask for them (`closed` then means that nothing runs). */
  readonly listeners: readonly Listener[];
  /** Text of `sys.xmpp.externalip`. */
  readonly externalSetting: string | undefined;
  /** Addresses of that setting that are known without asking anybody. */
  readonly external: readonly string[];
  readonly from: readonly VantagePoint[];
}

export type AskAgent = (what: string, params?: Record<string, unknown>) => Promise<unknown>;

export async function gatherFacts(place: Place, ask: AskAgent, from: readonly VantagePoint[]): Promise<Facts> {
  let absent: string | undefined;
  const status = (await ask("status").catch((error: unknown) => {
    absent = explain(error);
    return undefined;
  })) as StatusDocument | undefined;
  const server = status && !("unreachable" in status.server) ? status.server : undefined;
  const reading = status ? ask("store-read").then((given) => storeView.parse(given)) : storeOnDisk(place).read();
  const store = await reading.catch((error: unknown) => ({ unreadable: explain(error) }));
  const settings = new Map("unreadable" in store ? [] : store.settings);
  const { domain } = wantedSettings({ settings, users: [] }, { instance: place.instance }).wanted;
  const externalSetting = settings.get("sys.xmpp.externalip")?.trim() || undefined;
  return {
    place,
    status,
    absent,
    server,
    store,
    settings,
    domain: server?.domain ?? domain ?? "localhost",
    listeners: server?.listeners ?? expectedListeners(settings),
    externalSetting,
    external: await knownAddresses(externalSetting, place.home),
    from,
  };
}

/** Name of a listener, the property family of its port, the port's default, and whether `<family>.active` ends it. */
const families = [
  ["c2s", "xmpp.socket.plain", "port", 5222],
  ["c2s-tls", "xmpp.socket.ssl", "port", 5223],
  ["proxy65", "xmpp.proxy", "port", 7777],
  ["admin", "adminConsole", "port", 9090],
  ["admin-tls", "adminConsole", "securePort", 9091],
  ["web", "httpbind", "port.plain", 7070],
  ["web-tls", "httpbind", "port.secure", 7443],
] as const;

/** Listeners as they will be, from the store alone. */
function expectedListeners(settings: ReadonlyMap<string, string>): Listener[] {
  return families.flatMap(([name, family, key, fallback]) => {
    const of = (last: string) => settings.get(`sys.xmpp.properties.${family}.${last}`)?.trim() || undefined;
    if ([of("active"), of("enabled")].includes("false")) return [];
    const port = Number(of(key) ?? fallback);
    return port > 0 ? [{ name, port, address: "::", state: "closed" as const }] : [];
  });
}

/** Literal addresses of the setting; with `auto`, those the agent has seen last. */
async function knownAddresses(setting: string | undefined, home: string): Promise<string[]> {
  if (setting === undefined) return [];
  const literal = setting.split(/[\s,]+/).filter((one) => isIP(one) !== 0);
  if (setting !== "auto") return literal;
  const seen = await readFile(join(home, "external-address.json"), "utf8").catch(() => "{}");
  const { published } = addressState.parse(JSON.parse(seen));
  return published.filter((one) => isIP(one) !== 0);
}

const addressState = z.object({ published: z.array(z.string()).default([]) });
