import type { Result } from "./main.ts";

/** The results as text: figures, and in parentheses their ratio to the relay where it was measured too. */
export function table(results: readonly Result[], machine: string): string {
  const relay = results.find((result) => result.subject === "relay");
  const names = [...new Set(results.flatMap((result) => Object.keys(result.chats)))];
  const lines = [machine, ""];
  for (const name of names) {
    const rows = results.flatMap((result) => {
      const row = result.chats[name];
      if (row === undefined) return [];
      return [
        [
          label(result),
          against(row.cpuPerMessage, relay?.chats[name]?.cpuPerMessage, "µs"),
          against(row.messagesPerSecond, relay?.chats[name]?.messagesPerSecond, "/s"),
          `${row.p50.toFixed(1)} ms`,
          `${row.p99.toFixed(1)} ms`,
          `${row.lost}/${row.doubled}/${row.disordered}`,
          percent(row.serverCpuShare),
          percent(row.loadCpuShare),
        ],
      ];
    });
    const head = ["", "CPU/message", "messages", "p50", "p99", "lost/doubled/disordered", "server CPU", "load CPU"];
    lines.push(`${name.replace(" x ", " clients, ")} in flight`, ...aligned([head, ...rows]), "");
  }
  const rest = results.filter((result) => result.login !== undefined || result.idle !== undefined);
  if (rest.length > 0) {
    const rows = rest.map((result) => [
      label(result),
      against(result.login?.cpuPerLogin, relay?.login?.cpuPerLogin, "µs"),
      result.login === undefined ? "" : `${result.login.loginsPerSecond.toFixed(0)}/s`,
      against(
        (result.idle?.bytesPerSession ?? Number.NaN) / 1024,
        (relay?.idle?.bytesPerSession ?? Number.NaN) / 1024,
        "KiB",
      ),
      result.restart === undefined ? "" : `${result.restart.silenceMs.toFixed(0)} ms`,
      result.restart === undefined ? "" : `${result.restart.closed}/${result.restart.lost}/${result.restart.doubled}`,
    ]);
    const sessions = rest.find((result) => result.idle !== undefined)?.idle?.sessions ?? 0;
    const head = [
      "",
      "CPU/login",
      "logins",
      `memory/idle session (${sessions})`,
      "restart silence",
      "closed/lost/doubled",
    ];
    lines.push(
      "logins (STARTTLS, SCRAM-SHA-1; the relay: TLS alone), idle sessions, restart",
      ...aligned([head, ...rows]),
      "",
    );
  }
  for (const result of results) lines.push(`${label(result)}: ${result.version}; ${result.setup}`);
  return lines.join("\n");
}

function label(result: Result): string {
  return result.subject === "relay" ? "relay" : `${result.subject}, archive ${result.archive ? "on" : "off"}`;
}

function against(value: number | undefined, base: number | undefined, unit: string): string {
  if (value === undefined || Number.isNaN(value)) return "";
  const ratio = base === undefined || Number.isNaN(base) ? "" : ` (x${(value / base).toPrecision(2)})`;
  return `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${unit}${ratio}`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

/** Columns as wide as their widest cell; the first to the left, the others to the right. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  return rows.map((row) =>
    row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join("  "),
  );
}
