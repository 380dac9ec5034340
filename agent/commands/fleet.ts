/** `firekeeper status --fleet`: what headquarters heard of its branches. */
import type { FleetDocument } from "../fleet/fleet-state.ts";

export function renderFleet({ branches, conflicts, warnings }: FleetDocument): string {
  if (branches.length === 0) return "No branches: FIREKEEPER_FLEET_FILE names them.";
  const rows = [
    ["branch", "domain", "revision", "drift", "certificate", "sessions", "version", "last heard"],
    ...branches.map(({ branch, report, heard, stale }) => [
      branch,
      report?.domain ?? "-",
      report === null ? "-" : `${report.revision}/${report.proven}`,
      report === null ? "-" : driftOf(report),
      report?.certificateDays == null ? "-" : `${report.certificateDays} days`,
      report?.sessions == null ? "-" : String(report.sessions),
      report?.program ?? "-",
      `${heard ?? "never"}${heard !== null && stale ? " (stale)" : ""}`,
    ]),
  ];
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return [
    ...conflicts.map((one) => `conflict: ${one}`),
    ...warnings.map((one) => `warning: ${one}`),
    ...rows.map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    ),
  ].join("\n");
}

function driftOf(report: NonNullable<FleetDocument["branches"][number]["report"]>): string {
  const parts = [
    ...(report.held ? ["holds"] : []),
    ...(report.frozen ? ["frozen"] : []),
    ...(report.error === null ? [] : [report.error]),
    ...(report.pending > 0 ? [`${report.pending} wait`] : []),
    ...(report.rejected > 0 ? [`${report.rejected} rejected`] : []),
  ];
  return parts.length === 0 ? "none" : parts.join(", ");
}
