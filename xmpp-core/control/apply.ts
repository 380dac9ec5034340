/**
 * Apply: one request, three steps. prepare checks everything and binds new ports beside the old ones; commit is one
 * transaction; switch lets memory, ports and sessions follow. A failure before the commit changes nothing. docs/architecture.md "A setting's way".
 */
import { join } from "node:path";
import { CodedError, explain } from "../errors.ts";
import { externalAddressChanged, groups, rightsChanged, type SharedGroupChange } from "../modules/points.ts";
import { writeWhole } from "../storage/files.ts";
import { actualSupervisors } from "./actual.ts";
import { applyAccounts, checkAccounts, type Inherited, required, setPassword } from "./apply-accounts.ts";
import { enterSettings, type PreparedSettings, prepareSettings } from "./apply-settings.ts";
import { groupName } from "./canonical.ts";
import type { ApplyAnswer, ApplyRequest, Change } from "./contract.ts";
import { changeDomain, checkDomain } from "./domain.ts";
import type { PreparedPorts } from "./listening.ts";
import { applyContacts, contactNamed } from "./other-names.ts";
import { type ControlParts, type Draft, newDraft, takeBack } from "./parts.ts";
import type { RevisionContent } from "./revisions.ts";
import { readRuntimeOptions } from "./runtime-options.ts";

type Of<K extends Change["kind"]> = Extract<Change, { kind: K }>;

/** Applies take turns: each sees the world that the one before left. */
export function applying(parts: ControlParts): {
  apply(request: ApplyRequest): Promise<ApplyAnswer>;
  setLocal(changes: ReadonlyMap<string, string | null>): Promise<ApplyAnswer>;
  setPassword(wanted: Parameters<typeof setPassword>[1]): Promise<void>;
} {
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const next = last.then(work, work);
    last = next.catch(() => undefined);
    return next;
  };
  return {
    apply: (request) => inTurn(() => apply(parts, request)),
    setLocal: (changes) => inTurn(() => setLocal(parts, changes)),
    setPassword: (wanted) => inTurn(() => setPassword(parts, wanted)),
  };
}

async function apply(parts: ControlParts, request: ApplyRequest): Promise<ApplyAnswer> {
  const { revisions, report } = parts;
  const { revision, by, changes } = request;
  try {
    if (request.expected !== revisions.current)
      throw new CodedError(
        "control/stale-revision",
        `Revision ${revisions.current} is in force, not ${request.expected}.`,
        {
          fields: { expected: request.expected, current: revisions.current },
          hint: "The server has changed since the plan was made: plan again.",
        },
      );
    if (revision <= revisions.current)
      throw new CodedError("control/revision-order", `Revision ${revision} is not newer than ${revisions.current}.`, {
        fields: { revision, current: revisions.current },
      });
    const only = <K extends Change["kind"]>(...kinds: K[]): Of<K>[] =>
      changes.filter((change): change is Of<K> => (kinds as string[]).includes(change.kind));
    const accountChanges = only("account-set", "account-rename", "account-remove");
    checkAccounts(accountChanges);
    const settings = prepareSettings(parts, only("setting"), "host");
    const answer = await carryOut(parts, settings, async (draft) => {
      const domain = settings.domain === undefined ? undefined : await checkDomain(parts, settings.domain);
      const content = contentInForce(parts);
      // From here to the commit nothing waits: memory and rows are of one moment.
      return () => {
        if (domain !== undefined) changeDomain(parts, draft, domain, { aliasDays: request.aliasDays });
        const inherited = applyAccounts(parts, draft, accountChanges);
        applyContacts(parts, draft, only("contact-set"));
        applyGroups(parts, draft, only("group-set", "group-members", "group-contacts", "group-remove"), inherited);
        applyContacts(parts, draft, only("contact-remove"));
        applySupervisors(parts, draft, only("supervisor"), inherited);
        const begun = revisions.begin({ number: revision, by, at: parts.clock.now(), content: () => content });
        draft.writes.push(...begun.writes);
        draft.enter.push(begun.enter);
      };
    });
    report.applied({ revision, by, changes: changes.length });
    return answer;
  } catch (error) {
    const code = error instanceof CodedError ? error.code : "control/internal";
    report.applyFailed({ revision, by, code, message: explain(error) });
    throw error;
  }
}

/** What a person sets at the console or by REST. Refused for what the host owns. */
async function setLocal(parts: ControlParts, changes: ReadonlyMap<string, string | null>): Promise<ApplyAnswer> {
  for (const setting of changes.keys())
    if (setting === "domain" || parts.settings.origin(setting) === "host")
      throw new CodedError(
        "settings/owned-by-host",
        `${setting.replace(/^property:/, "")} belongs to the host's settings.`,
        {
          fields: { setting },
          hint: "Change it there.",
        },
      );
  const list = [...changes].map(([setting, to]) => ({ setting, to }));
  return carryOut(parts, prepareSettings(parts, list, "local"), async () => () => undefined);
}

/** Prepare, commit, switch. `build` does what has to wait first; what it returns fills the draft without waiting. */
async function carryOut(
  parts: ControlParts,
  settings: PreparedSettings,
  build: (draft: Draft) => Promise<() => void>,
): Promise<ApplyAnswer> {
  const { listening, certificates, rights, storage } = parts;
  // Before ports are prepared: an order may need one of its own.
  const ordered = await certificates.obtain(settings.properties.get, settings.domain);
  const ports = await namingTheKey(settings, () => listening.prepare(settings.properties.get));
  const draft = newDraft();
  if (ordered !== undefined) draft.done.push(ordered);
  const admin = rights.admin();
  try {
    await certificates.prepare(settings.properties.get, settings.domain);
    const fill = await build(draft);
    fill();
    enterSettings(parts, draft, settings);
    await storage.write(draft.writes);
  } catch (error) {
    takeBack(draft);
    await ports?.cancel();
    throw error;
  }
  const failed = await switchOver(parts, draft, settings, ports);
  rights.adminChanged(admin);
  for (const told of parts.offered(rightsChanged)) told.rightsChanged();
  await leaveBoot(parts);
  const restarting = settings.restarts || failed;
  if (restarting) parts.process.restart();
  return { revision: parts.revisions.current, done: draft.done, restarting };
}

/** The revision is in force: whatever does not follow now does so in a new process. True if one is needed. */
async function switchOver(
  parts: ControlParts,
  draft: Draft,
  settings: PreparedSettings,
  ports: PreparedPorts | undefined,
): Promise<boolean> {
  let failed = false;
  const attempt = async (work: () => void | Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      failed = true;
      parts.report.wrong({ what: "a part did not follow an apply", error });
    }
  };
  for (const enter of draft.enter) await attempt(enter);
  if (ports !== undefined) {
    await attempt(() => ports.switch());
    draft.done.push(...ports.done);
  }
  if (settings.values.size > 0 || settings.domain !== undefined) await attempt(() => parts.certificates.refresh());
  if (settings.values.has("external-address"))
    for (const told of parts.offered(externalAddressChanged)) await attempt(() => told.externalAddressChanged());
  for (const after of draft.after) await attempt(after);
  if (failed) draft.done.push("Not every part followed at once: the server restarts to take the revision whole.");
  return failed;
}

function applyGroups(
  parts: ControlParts,
  draft: Draft,
  changes: readonly Of<"group-set" | "group-members" | "group-contacts" | "group-remove">[],
  inherited: Inherited,
): void {
  const [all] = parts.offered(groups);
  const asked: SharedGroupChange[] = [...inherited.groups];
  for (const change of changes) {
    if (change.kind === "group-set") {
      const { name, displayName, showInRoster, groupList } = change.group;
      if (groupName(name).name !== name)
        throw new CodedError("control/name", `${JSON.stringify(name)} is no group name in the server's own form.`, {
          fields: { name },
        });
      if (all?.get(name)?.origin === "local" && change.adopt !== true)
        throw new CodedError("control/local-group", `${name} is a local group of this server.`, {
          fields: { name },
          hint: `If it is the host's: firekeeper apply --adopt '${name}'`,
        });
      asked.push({ kind: "set", group: { name, displayName, showInRoster, groupList }, origin: "host" });
    } else if (change.kind === "group-members") {
      const of = (names: readonly string[]) => names.map((name) => required(parts, name));
      asked.push({
        kind: "members",
        group: change.group,
        all: change.all,
        add: of(change.add),
        remove: of(change.remove),
      });
    } else if (change.kind === "group-contacts") {
      const of = (names: readonly string[]) => names.map((name) => contactNamed(parts, name));
      asked.push({ kind: "members", group: change.group, add: of(change.add), remove: of(change.remove) });
    } else asked.push({ kind: "remove", name: change.name });
  }
  if (asked.length === 0) return;
  if (all === undefined)
    throw new CodedError("control/no-groups", "This server has no shared groups.", {
      hint: "Remove the roles of type xmpp.group.",
    });
  const { writes, done } = all.prepare(asked);
  draft.writes.push(...writes);
  draft.enter.push(done);
}

function applySupervisors(
  parts: ControlParts,
  draft: Draft,
  changes: readonly Of<"supervisor">[],
  inherited: Inherited,
): void {
  const all = [
    ...inherited.supervisors,
    ...changes.map(({ name, grant }) => ({ account: required(parts, name), grant })),
  ];
  for (const { account, grant } of all) {
    const { write, enter } = parts.rights.grant(account.id, grant);
    draft.writes.push(write);
    draft.enter.push(enter);
  }
}

/** The host's share of what is in force, whole. */
function contentInForce(parts: ControlParts): RevisionContent {
  const settings: Record<string, string> = {};
  for (const setting of parts.settings.all()) {
    const value = parts.settings.host(setting);
    if (value !== undefined) settings[setting] = value;
  }
  const ofHost = parts
    .offered(groups)
    .flatMap((all) => all.list())
    .filter(({ origin }) => origin === "host");
  return {
    settings,
    groups: ofHost.map(({ origin: _, members, groupList, contacts = [], ...texts }) => ({
      ...texts,
      contacts: [...contacts],
      groupList: [...groupList],
      members: members === "all" ? "all" : [...members],
    })),
    supervisors: actualSupervisors(parts),
  };
}

/** A port that cannot be had is a fault of the setting that asked for it: its key belongs in the message. */
async function namingTheKey<T>(settings: PreparedSettings, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof CodedError) || error.fields.port === undefined) throw error;
    const asking = [...settings.values].find(([, value]) => value === String(error.fields.port));
    const key = asking?.[0].replace(/^property:/, "");
    throw new CodedError(error.code, key === undefined ? error.message : `${key}: ${error.message}`, {
      fields: { ...error.fields, key },
      hint: error.hint ?? "",
      cause: error,
    });
  }
}

/** As `writeBoot`; what is in force stays in force when the disk is full, and every later apply and start writes it again. */
export async function leaveBoot(
  parts: Pick<ControlParts, "home" | "settings" | "revisions" | "report">,
): Promise<void> {
  try {
    await writeBoot(parts);
  } catch (error) {
    parts.report.wrong({ what: "the heap limit could not be left for the next start", error });
  }
}

/** What the gate gives the successor: its heap limit, and for people its revision. */
async function writeBoot(parts: Pick<ControlParts, "home" | "settings" | "revisions">): Promise<void> {
  const { heapMb } = readRuntimeOptions(parts.settings.get("runtime-options") ?? "") ?? {};
  const boot = { ...(heapMb === undefined ? {} : { heapMb }), revision: parts.revisions.current };
  const file = join(parts.home, "boot.json");
  // A gate that reads half a file would start the core without its limit.
  await writeWhole(file, `${JSON.stringify(boot)}\n`);
}
