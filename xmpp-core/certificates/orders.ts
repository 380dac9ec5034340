/** When certificates are ordered and renewed by ACME: one order at a time, far from the stanza path. docs/certificates.md */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Clock } from "../clock.ts";
import { CodedError, explain } from "../errors.ts";
import type { Property } from "../properties/property.ts";
import type { Report } from "../report.ts";
import { fqdn, networkInterface } from "../stream/properties.ts";
import {
  type CertificateFacts,
  certificateFacts,
  checkCertificate,
  type LoadedCertificate,
} from "../transport/certificates.ts";
import { newKey } from "../transport/self-signed.ts";
import { AcmeFailure, type AcmeOrder, orderCertificate } from "./acme-client.ts";
import { presentRecord } from "./dns-hook.ts";
import type { httpChallenges } from "./http-challenges.ts";
import {
  issuedFile,
  noOrders,
  type OrderRecord,
  readAccount,
  readIssued,
  readRecord,
  writeAccount,
  writeIssued,
  writeRecord,
} from "./order-record.ts";
import { orderedName, whyNotOrderable } from "./orderable.ts";
import * as properties from "./properties.ts";

type Get = <T>(property: Property<T>) => T;

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const firstDelayMs = 10 * minute;
const longestDelayMs = day;
/** Against settings that change for ever: public authorities count orders by the week. */
const ordersPerDay = 10;
const orderMs = 15 * minute;

export interface Orders {
  /** What was issued for this name, if it can be served now. */
  issued(name: string): Promise<{ certificate: LoadedCertificate; facts: CertificateFacts; file: string } | undefined>;
  /** Orders what is due, one after another. */
  look(): Promise<void>;
  /** Orders for a name that is to be served, within `limitMs`; resolves with why it was not possible. */
  obtain(name: string, get: Get, limitMs: number): Promise<string | undefined>;
  /** Whether this name would be ordered, or why not; undefined: orders are off. */
  prospect(name: string, get: Get): { can: boolean; sentence: string } | undefined;
  state(name: string): { next: number | undefined; error: string | undefined };
  notices(): string[];
  close(): void;
}

interface Wish {
  readonly names: readonly string[];
  readonly inputs: string;
}

export function acmeOrders(parts: {
  home: string;
  clock: Clock;
  random: (bytes: number) => Buffer;
  report: Report;
  get: Get;
  /** The names that are served and have no files of their own; the domain first. */
  wanted: () => readonly string[];
  primary: () => string;
  challenges: ReturnType<typeof httpChallenges>;
  hook: string | undefined;
  /** A certificate was issued. */
  changed: () => void;
}): Orders {
  const { home, clock, report } = parts;
  const records = new Map<string, OrderRecord>();
  const ending = new AbortController();
  let last: Promise<unknown> = Promise.resolve();
  let looking: "no" | "yes" | "once more" = "no";

  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const next = last.then(work, work);
    last = next.catch(() => undefined);
    return next;
  };

  async function recordOf(name: string): Promise<OrderRecord> {
    const known = records.get(name) ?? (await readRecord(home, name));
    records.set(name, known);
    return known;
  }

  async function remember(name: string, record: OrderRecord): Promise<void> {
    records.set(name, record);
    await writeRecord(home, name, record);
  }

  function wish(name: string, primary: string, get: Get): Wish {
    const more = name === primary ? [...get(properties.acmeNames), get(fqdn)] : [];
    const all = [name, ...more].flatMap((each) =>
      each === undefined || whyNotOrderable(each, authority(get)) !== undefined ? [] : (orderedName(each) ?? []),
    );
    const wildcard = get(properties.acmeChallenge) === "dns-01" ? `*.${all[0]}` : undefined;
    const covered = (host: string): boolean =>
      wildcard !== undefined && host.slice(host.indexOf(".")) === wildcard.slice(1);
    const names = [
      ...all.slice(0, 1),
      ...(wildcard === undefined ? [] : [wildcard]),
      ...all.slice(1).filter((host) => !covered(host)),
    ];
    const inputs = createHash("sha256")
      .update(JSON.stringify([names, parts.hook, ...inputProperties.map((each) => get(each))]))
      .digest("hex");
    return { names: [...new Set(names)], inputs };
  }

  function isDue(record: OrderRecord, { names, inputs }: Wish, get: Get, patient: boolean): boolean {
    const { issued } = record;
    const good =
      issued !== undefined &&
      issued.directory === get(properties.acmeDirectory) &&
      names.every((name) => issued.names.includes(name)) &&
      clock.now() < issued.renewAt;
    if (good) return false;
    if (recentAttempts(record).length >= ordersPerDay) return false;
    return !patient || record.inputs !== inputs || clock.now() >= record.nextTry;
  }

  const recentAttempts = ({ attempts }: OrderRecord): number[] => attempts.filter((at) => clock.now() - at < day);

  /** Counted before it begins: a core that dies of an order must not begin one at each start. */
  async function attempt(name: string, wished: Wish, get: Get, limitMs: number): Promise<string | undefined> {
    const before = await recordOf(name);
    const begun = clock.now();
    await remember(name, { ...before, attempts: [...recentAttempts(before), begun] });
    const limit = new AbortController();
    const cancel = clock.after(limitMs, () => limit.abort(new Error("it took too long")));
    const signal = AbortSignal.any([limit.signal, ending.signal]);
    try {
      const standing = await readIssued(home, name);
      // The key stays, so that pins hold; whoever wants another one removes acme.pem.
      const key = standing?.key ?? newKey();
      const chain = await order(name, wished.names, key, get, signal);
      const facts = checkIssued(name, wished.names, chain, key);
      await writeIssued(home, name, { key, chain });
      const directory = get(properties.acmeDirectory);
      const issued = { directory, names: [...wished.names], renewAt: renewalTime(facts) };
      await remember(name, { ...noOrders, attempts: (await recordOf(name)).attempts, issued });
      report.certificateOrdered({ name, names: wished.names.join(","), directory, tookMs: clock.now() - begun });
      return undefined;
    } catch (error) {
      if (ending.signal.aborted) return "the server stops";
      const now = await recordOf(name);
      const failures = now.failures + 1;
      const wait = Math.max(
        Math.min(firstDelayMs * 2 ** Math.min(failures - 1, 10), longestDelayMs) * (0.9 + 0.2 * fraction()),
        Math.min((error instanceof AcmeFailure ? error.retryAfterMs : undefined) ?? 0, 8 * day),
      );
      const nextTry = Math.round(clock.now() + wait);
      const message = explain(error);
      await remember(name, { ...now, failures, nextTry, inputs: wished.inputs, error: message });
      const code = error instanceof CodedError ? error.code : "certificate/acme-failed";
      report.certificateOrderFailed({ name, code, message, nextTry: new Date(nextTry).toISOString() });
      return message;
    } finally {
      cancel();
    }
  }

  async function order(
    name: string,
    names: readonly string[],
    key: string,
    get: Get,
    signal: AbortSignal,
  ): Promise<string> {
    const directory = get(properties.acmeDirectory);
    const rootsFile = get(properties.acmeCaFile);
    const roots = rootsFile === undefined ? undefined : await readRoots(rootsFile);
    const [keyId, hmacKey] = [get(properties.acmeEabKeyId), get(properties.acmeEabKey)];
    const challenge = get(properties.acmeChallenge);
    const common: Omit<AcmeOrder, "account"> = {
      ...{ directory, roots, names, key, challenge, signal },
      email: get(properties.acmeEmail),
      binding: keyId === undefined || hmacKey === undefined ? undefined : { keyId, hmacKey },
      registered: (account) => writeAccount(home, directory, account),
      async prove(host, token, value) {
        const takeAway =
          challenge === "dns-01"
            ? await presentRecord(parts.hook, host, value, signal)
            : await parts.challenges.present(token, value, {
                port: get(properties.acmeHttpPort),
                address: get(networkInterface),
              });
        // What was proven stays proven: a record left behind is a matter for the log.
        return () => takeAway().catch((error: unknown) => report.wrong({ what: `the proof for ${name}`, error }));
      },
    };
    const account = await readAccount(home, directory);
    try {
      return await orderCertificate({ ...common, account });
    } catch (error) {
      if (!(error instanceof AcmeFailure) || error.type !== "accountDoesNotExist" || account.url === undefined)
        throw error;
      return await orderCertificate({ ...common, account: { ...account, url: undefined } });
    }
  }

  /**
   * An authority that sends something else than what was asked for must not get it served. Its clock may be ahead of
   * ours by an hour: certificates of small ones begin at the very second.
   */
  function checkIssued(name: string, names: readonly string[], chain: string, key: string): CertificateFacts {
    const file = issuedFile(home, name);
    const covers = names.filter((each) => !each.startsWith("*."));
    const begins = certificateFacts(chain, new Date()).validFrom.getTime();
    const now = begins - clock.now() < hour ? Math.max(begins, clock.now()) : clock.now();
    return checkCertificate({ name, covers, chainPath: file, keyPath: file }, chain, key, new Date(now));
  }

  /** When a third of its life is left, a little before, so that a fleet does not come all at once. */
  function renewalTime({ validFrom, validTo }: CertificateFacts): number {
    const life = validTo.getTime() - validFrom.getTime();
    return Math.round(validTo.getTime() - life / 3 - fraction() * life * 0.02);
  }

  const fraction = (): number => parts.random(4).readUInt32BE() / 2 ** 32;

  async function issued(name: string) {
    const pair = await readIssued(home, name);
    if (pair === undefined) return undefined;
    try {
      const facts = checkIssued(name, [orderedName(name) ?? name], pair.chain, pair.key);
      return { certificate: { name, ...pair }, facts, file: issuedFile(home, name) };
    } catch {
      // Run out, or no longer fit for the name: another one is ordered, a self-signed one serves meanwhile.
      return undefined;
    }
  }

  async function orderDue(): Promise<void> {
    if (refusalOf(parts.get, parts.hook) !== undefined) return;
    for (const name of parts.wanted()) {
      if (whyNotOrderable(name, authority(parts.get)) !== undefined) continue;
      await inTurn(async () => {
        const wished = wish(name, parts.primary(), parts.get);
        const lost = (await readIssued(home, name)) === undefined;
        const record = await recordOf(name);
        const known = lost ? { ...record, issued: undefined } : record;
        if (ending.signal.aborted || !isDue(known, wished, parts.get, true)) return;
        if ((await attempt(name, wished, parts.get, orderMs)) === undefined) parts.changed();
      });
    }
  }

  return {
    issued,
    async look() {
      if (looking !== "no") {
        // Settings may have changed behind the name that is being ordered.
        looking = "once more";
        return;
      }
      try {
        do {
          looking = "yes";
          await orderDue();
        } while ((looking as string) === "once more");
      } finally {
        looking = "no";
      }
    },
    async obtain(name, get, limitMs) {
      const prospect = prospectOf(name, get, parts.hook);
      if (prospect === undefined) return undefined;
      if (!prospect.can) return prospect.sentence;
      const wished = wish(name, name, get);
      return inTurn(async () => {
        const record = await recordOf(name);
        if (!isDue(record, wished, get, false)) return record.error;
        return attempt(name, wished, get, limitMs);
      });
    },
    prospect: (name, get) => prospectOf(name, get, parts.hook),
    state(name) {
      const record = records.get(name);
      const off = refusalOf(parts.get, parts.hook) !== undefined;
      if (record === undefined || off) return { next: undefined, error: undefined };
      // An error of other settings says nothing any more.
      const error = record.inputs === wish(name, parts.primary(), parts.get).inputs ? record.error : undefined;
      return { next: error === undefined ? record.issued?.renewAt : record.nextTry, error };
    },
    notices() {
      if (!parts.get(properties.acmeEnabled)) return [];
      const refusal = refusalOf(parts.get, parts.hook);
      if (refusal !== undefined) return [refusal];
      const more = [...parts.get(properties.acmeNames), parts.get(fqdn)].filter((each) => each !== undefined);
      return [...new Set([...parts.wanted(), ...more])].flatMap((each) => {
        const why = whyNotOrderable(each, authority(parts.get));
        return why === undefined ? [] : [`No certificate is ordered for ${each}. ${why}`];
      });
    },
    close: () => ending.abort(),
  };
}

const inputProperties = [
  ...[properties.acmeDirectory, properties.acmeEmail, properties.acmeChallenge, properties.acmeHttpPort],
  ...[properties.acmeCaFile, properties.acmeEabKeyId, properties.acmeEabKey],
] as unknown as readonly Property<unknown>[];

const authority = (get: Get): "public" | "private" => (get(properties.acmeCaFile) === undefined ? "public" : "private");

function prospectOf(name: string, get: Get, hook: string | undefined): { can: boolean; sentence: string } | undefined {
  if (!get(properties.acmeEnabled)) return undefined;
  const why = refusalOf(get, hook) ?? whyNotOrderable(name, authority(get));
  return why === undefined
    ? { can: true, sentence: `one for ${name} is ordered from ${new URL(get(properties.acmeDirectory)).host} first` }
    : { can: false, sentence: why };
}

/** Why nothing at all is ordered; empty while orders are simply off. */
function refusalOf(get: Get, hook: string | undefined): string | undefined {
  if (!get(properties.acmeEnabled)) return "";
  if (!get(properties.acmeTerms))
    return `Nothing is ordered before you accept the terms of ${new URL(get(properties.acmeDirectory)).host} (${properties.acmeTerms.key}).`;
  if (get(properties.acmeChallenge) === "dns-01" && hook === undefined)
    return `${properties.acmeChallenge.key} is dns-01, and FIREKEEPER_ACME_HOOK is not set in the server's environment.`;
  if ((get(properties.acmeEabKeyId) === undefined) !== (get(properties.acmeEabKey) === undefined))
    return `${properties.acmeEabKeyId.key} and ${properties.acmeEabKey.key} go together.`;
  return undefined;
}

async function readRoots(file: string): Promise<string> {
  try {
    const text = await readFile(file, "utf8");
    certificateFacts(text, new Date());
    return text;
  } catch (cause) {
    throw new CodedError("certificate/acme-roots", `${file} holds no certificates that can be read.`, {
      fields: { file },
      hint: `Correct ${properties.acmeCaFile.key}: a PEM file with the roots of your authority.`,
      cause,
    });
  }
}
