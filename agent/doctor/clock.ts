/** The clock: logs, certificates and SASL nonces rely on it. */
import { createSocket } from "node:dgram";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { explain } from "../errors.ts";
import type { Facts } from "./facts.ts";
import { type Verdict, verdict } from "./verdict.ts";

const fix = "switch time synchronisation on: timedatectl set-ntp true";
const farMs = 5000;

/** `ntp` is `host[:port]`. */
export async function checkClock(
  facts: Facts,
  ntp: string | undefined,
  now: () => number = Date.now,
): Promise<Verdict[]> {
  const wall = now();
  const steady = performance.now();
  const verdicts = [await againstJournal(facts.place.home, wall)];
  if (ntp !== undefined) verdicts.push(await against("clock.ntp", ntp, () => ntpTime(ntp), now));
  if (/^https?:/.test(facts.place.store)) {
    const url = new URL(facts.place.store);
    verdicts.push(await against("clock.http", url.host, () => httpTime(url), now));
  }
  const jump = Math.abs(now() - wall - (performance.now() - steady));
  verdicts.push(
    jump > 500
      ? verdict(
          "clock.steps",
          "fail",
          "this machine",
          `The clock was set by ${Math.round(jump)} ms while we looked.`,
          fix,
        )
      : verdict("clock.steps", "ok", "this machine", "Runs evenly."),
  );
  return verdicts;
}

async function againstJournal(home: string, now: number): Promise<Verdict> {
  const text = await readFile(join(home, "journal.jsonl"), "utf8").catch(() => "");
  const times = [...text.slice(-100_000).matchAll(/"at":"([^"]+)"/g)].map(([, at = ""]) => Date.parse(at));
  const newest = Math.max(...times.filter((one) => Number.isFinite(one)));
  if (newest === Number.NEGATIVE_INFINITY)
    return verdict("clock.journal", "skipped", "journal", "There is no entry yet.");
  if (newest - now > 1000) {
    const found = `The newest entry is of ${new Date(newest).toISOString()}, the clock says ${new Date(now).toISOString()}: it went backwards.`;
    return verdict("clock.journal", "fail", "journal", found, fix);
  }
  return verdict("clock.journal", "ok", "journal", "The clock is past the newest entry.");
}

async function against(
  check: "clock.ntp" | "clock.http",
  of: string,
  ask: () => Promise<number>,
  now: () => number,
): Promise<Verdict> {
  try {
    const before = now();
    const theirs = await ask();
    const offset = Math.round(theirs - (before + now()) / 2);
    const found = `This clock is ${Math.abs(offset)} ms ${offset < 0 ? "ahead" : "behind"}.`;
    return Math.abs(offset) > farMs ? verdict(check, "fail", of, found, fix) : verdict(check, "ok", of, found);
  } catch (error) {
    return verdict(
      check,
      "warn",
      of,
      `No time from there: ${explain(error)}.`,
      "name a server that answers, or open UDP 123",
    );
  }
}

async function httpTime(url: URL): Promise<number> {
  // Without name and password: any answer has a date, a refusal too.
  const answer = await fetch(url.origin, { method: "HEAD", redirect: "manual", signal: AbortSignal.timeout(3000) });
  const at = Date.parse(answer.headers.get("date") ?? "");
  if (Number.isNaN(at)) throw new Error("the answer has no Date");
  return at;
}

/** The transmit timestamp of an SNTP answer, ms since the epoch. RFC 5905 §7.3. */
function ntpTime(server: string): Promise<number> {
  const [, host = server, port] = /^(.*?)(?::(\d+))?$/.exec(server) ?? [];
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIP(host) === 6 ? "udp6" : "udp4");
    const limit = setTimeout(() => end(() => reject(new Error("no answer within 3 s"))), 3000);
    const end = (then: () => void) => {
      clearTimeout(limit);
      socket.close();
      then();
    };
    socket.once("error", (error) => end(() => reject(error)));
    socket.once("message", (answer) =>
      end(() => {
        if (answer.length < 48 || answer.readUInt32BE(40) === 0) reject(new Error("the answer is no time"));
        // Seconds since 1900, and a fraction of 2^32.
        else resolve((answer.readUInt32BE(40) - 2_208_988_800) * 1000 + (answer.readUInt32BE(44) * 1000) / 2 ** 32);
      }),
    );
    const request = Buffer.alloc(48);
    request[0] = 0x23;
    socket.send(request, Number(port ?? 123), host, (error) => {
      if (error) end(() => reject(error));
    });
  });
}
