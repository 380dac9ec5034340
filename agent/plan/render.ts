/** A plan for people and for programs. docs/settings.md. */
import { isWeakness, type Notice } from "../errors.ts";
import type { Effect } from "./document.ts";
import type { Plan, PlanDocument, PlannedChange } from "./types.ts";

/** What `firekeeper plan --json` prints. */
export function planDocument(plan: Plan): PlanDocument {
  return {
    revision: plan.revision,
    snapshot: plan.snapshot,
    impact: plan.impact,
    changes: plan.changes.map(changeDocument),
    rejected: plan.rejected.map(({ key, value, rule, hint }) => ({ key, value, rule, hint })),
    notices: plan.notices,
  };
}

export function changeDocument(change: PlannedChange): PlanDocument["changes"][number] {
  const { subject, action, from, to, impact, source, effects } = change;
  return { subject, action, from, to, impact, source, ...(effects ? { effects } : {}) };
}

/** Weakening first, then the total impact, then each change, what is rejected, and what else there is to know. */
export function renderPlan(plan: PlanDocument): string {
  const weakens = plan.notices.filter(isWeakness);
  const others = plan.notices.filter((notice) => !isWeakness(notice));
  const lines = [
    ...weakens.map((notice) => `weakens: ${notice.message}`),
    headline(plan),
    ...plan.changes.flatMap((change) => [
      `  ${change.impact.padEnd(8)} ${changeLine(change)}  (${change.source})`,
      ...(change.effects ?? []).map(effectLine),
    ]),
    ...(plan.rejected.length > 0 ? ["", `rejected: ${plan.rejected.length}, what was in force stays`] : []),
    ...plan.rejected.map((one) => `  ${one.key} = ${one.value}: must be ${one.rule}. ${one.hint}`.trimEnd()),
    ...(others.length > 0 ? ["", "to know:"] : []),
    ...others.map(noticeLine),
  ];
  return lines.join("\n");
}

/** `2 live changes, no one will notice` */
export function headline(plan: Pick<PlanDocument, "changes" | "impact">): string {
  const count = plan.changes.length;
  if (count === 0) return "Nothing to do: the server is as the host wants it.";
  const changes = `${count} ${plan.impact === "live" ? "live " : ""}${count === 1 ? "change" : "changes"}`;
  switch (plan.impact) {
    case "listener":
      return `${changes}; a port is rebound, open connections stay`;
    case "restart":
      return `${changes}; the core is replaced: connections stay, clients notice a pause of about a second`;
    case "migrate":
      return `${changes}; the domain changes, and a person must apply it`;
    default:
      return `${changes}, no one will notice`;
  }
}

export function changeLine(change: PlanDocument["changes"][number]): string {
  const { subject, action, from, to } = change;
  switch (action) {
    case "members":
      return `${subject}: ${[to && `${to} ${verb("gain", to)} it`, from && `${from} ${verb("lose", from)} it`].filter(Boolean).join("; ")}`;
    case "teams":
      return `${subject}: ${[to && `shows ${to}`, from && `no longer shows ${from}`].filter(Boolean).join("; ")}`;
    case "rename":
      return `${subject}: renamed from ${from}, keeps everything`;
    case "unset":
      return `${subject}: ${from} → ${to ?? "its default"}`;
    case "own":
      return `${subject}: stays ${to}, now owned by the host`;
    case "remove":
      if (subject.startsWith("contact ")) return `${subject}: removed (${from})`;
      return subject.startsWith("group ")
        ? `${subject}: removed; ${from} ${verb("lose", from ?? "")} it`
        : `${subject}: removed, data kept`;
    case "grant":
      return `${subject}: gains the right`;
    case "revoke":
      return `${subject}: loses the right`;
    default:
      return `${subject}: ${action}${from === null ? "" : ` ${from} →`} ${to ?? "nothing"}`;
  }
}

/** Of one person, or of everybody, or of several. */
function verb(word: string, who: string): string {
  return /,| and \d/.test(who) && !who.startsWith("everybody") ? word : `${word}s`;
}

/** `+ alice, bob gain: the group Sales, 4 members` */
export function effectLine({ gains, who, count, what }: Effect): string {
  const more = count > who.length && !who.includes("everybody") ? ` and ${count - who.length} more` : "";
  const verb = gains ? "gain" : "lose";
  return `             ${gains ? "+" : "-"} ${who.join(", ")}${more} ${count === 1 || who.includes("everybody") ? `${verb}s` : verb}: ${what}`;
}

export function noticeLine(notice: Notice): string {
  return `  ${notice.where ? `${notice.where}: ` : ""}${notice.message}${notice.hint ? ` ${notice.hint}` : ""}`;
}
