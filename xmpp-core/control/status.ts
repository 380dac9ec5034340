/** How the server is, for `firekeeper status` and the console. */
import { explain } from "../errors.ts";
import { uploadAddress } from "../modules/web-points.ts";
import type { Session } from "../routing/session.ts";
import { clientListeners } from "../stream/listeners.ts";
import { refuseOn } from "../stream/properties.ts";
import { programVersion } from "../version.ts";
import { aliases, passwordCounts } from "./actual.ts";
import type { CoreStatus, SessionStatus } from "./contract.ts";
import type { ControlParts } from "./parts.ts";

export function coreStatus(parts: ControlParts): CoreStatus {
  const { names, revisions, sessions, accounts, storage } = parts;
  const all = visible(sessions.all());
  const detached = all.filter(({ carrier }) => carrier === undefined).length;
  return {
    domain: names.primary.name,
    aliases: aliases(parts),
    revision: revisions.current,
    proven: revisions.proven,
    ...(revisions.fellBackFrom === undefined ? {} : { fellBackFrom: revisions.fellBackFrom }),
    startedAt: new Date(parts.startedAt).toISOString(),
    pid: process.pid,
    version: programVersion,
    listeners: listeners(parts),
    certificates: parts.certificates.status(),
    ...uploads(parts),
    sessions: all.length - detached,
    detachedSessions: detached,
    accounts: [...accounts.all()].filter(({ keptUntil }) => keptUntil === undefined).length,
    storage: storage.health === "ok" ? "ok" : explain(storage.health.failing),
    ...sayings(parts),
  };
}

function uploads({ offered }: ControlParts): Pick<CoreStatus, "uploads"> {
  const [found] = offered(uploadAddress).flatMap((each) => each.state() ?? []);
  return found === undefined ? {} : { uploads: found };
}

function listeners({ listening, properties }: ControlParts): CoreStatus["listeners"] {
  const refusesOn = [...properties.get(refuseOn)];
  return listening
    .status()
    .map((one) =>
      refusesOn.length > 0 && clientListeners.some((name) => name === one.name) ? { ...one, refusesOn } : one,
    );
}

/** What weakens the server, and what a stored value does not do. */
function sayings(parts: ControlParts): Pick<CoreStatus, "weakens" | "notices"> {
  const weakens: string[] = [];
  const notices: string[] = [...parts.certificates.notices()];
  const { uploads: files } = uploads(parts);
  if (files?.problem !== undefined)
    notices.push(
      `Uploaded files cannot be reached at ${files.address}: ${files.problem}. firekeeper.web.address says where a proxy or router leads here from.`,
    );
  const { fellBackFrom, current } = parts.revisions;
  const { hashed, live, plainAlone } = passwordCounts(parts);
  if (plainAlone)
    weakens.push(
      `PLAIN alone is offered (over TLS): ${hashed} accounts have only a hash, ${live} are judged by a directory.`,
    );
  if (fellBackFrom !== undefined)
    notices.push(
      `Revision ${fellBackFrom} did not start twice; revision ${current}, the last proven one, is in force.`,
    );
  for (const one of parts.properties.describe()) {
    if (one.weakens !== undefined) weakens.push(`${one.key}: ${one.weakens}`);
    if (!one.stored) continue;
    if (one.unreadable !== undefined)
      notices.push(
        `${one.key} cannot be read and its default is in force: it must be ${one.unreadable.rule}. ${one.unreadable.hint}`,
      );
    if (one.effect === "none") notices.push(`${one.key} has no effect here. ${one.notes.join(" ")}`.trim());
    else if (one.effect === "later") notices.push(`${one.key} is stored and not yet honoured.`);
    else if (one.effect === "unknown") notices.push(`${one.key} is unknown: it is stored and passed on.`);
    else notices.push(...one.notes.map((note) => `${one.key}: ${note}`));
  }
  return { weakens, notices };
}

/** @param limit how many at most; all without it */
export function sessionList(parts: Pick<ControlParts, "sessions">, limit?: number): SessionStatus[] {
  return visible(parts.sessions.all()).slice(0, limit).map(sessionStatus);
}

function sessionStatus(session: Session): SessionStatus {
  const { carrier } = session;
  return {
    address: session.address,
    account: session.account.name,
    view: session.view,
    remote: carrier === undefined ? "" : `${carrier.remote.address} ${carrier.remote.port}`,
    since: new Date(session.since).toISOString(),
    tls: carrier?.tls ?? null,
    streamManaged: session.managed,
    connected: carrier !== undefined,
    presence: session.priority === undefined ? "unavailable" : `available, priority ${session.priority}`,
  };
}

function visible(sessions: Iterable<Session>): Session[] {
  return [...sessions].filter(({ account }) => !account.probe);
}
