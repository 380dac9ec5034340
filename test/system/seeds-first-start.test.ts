import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { startChild } from "../support/child.ts";

/** A host that sets nothing, on the default ports: they are free only in a network of the test's own. */
const inside = ["--net", ...(process.getuid?.() === 0 ? [] : ["--map-root-user"]), "--", "sh", "-c"];
const program = fileURLToPath(new URL("alone.ts", import.meta.url));

function unavailable(): string | undefined {
  try {
    execFileSync("unshare", [...inside, "ip link set lo up"], { stdio: "pipe" });
    return undefined;
  } catch (error) {
    return `needs a network namespace: ${error}`;
  }
}

test("without a single setting the service is complete: people chat on the default ports, the domain is mobydick, and the plan says what such a name cannot do (M1, M6, M15)", async ({
  skip,
}) => {
  const missing = unavailable();
  if (missing !== undefined) return skip(missing);
  const command = `ip link set lo up && exec "$0" --import "$1" "$2"`;
  const child = startChild("unshare", [...inside, command, process.execPath, import.meta.resolve("tsx"), program]);
  const [, json = ""] = await child.printed(/^seen (.*)$/m, 60_000);
  const seen = JSON.parse(json);
  expect(seen.addresses).toEqual(["alice@mobydick", "admin@mobydick"]);
  expect(seen.heard[1]).toBe("hello");
  expect(seen.certificate).toContain("DNS:mobydick");
  expect(seen.plan.code).toBe(0);
  expect(seen.plan.stdout).toMatch(/mobydick.*(SRV|federation|ACME)/s);
  const ports = Object.fromEntries(
    seen.status.server.listeners.map((one: { name: string; port: number }) => [one.name, one.port]),
  );
  expect(ports).toMatchObject({
    ...{ c2s: 5222, "c2s-tls": 5223, proxy65: 7777, admin: 9090, "admin-tls": 9091 },
    ...{ web: 7070, "web-tls": 7443 },
  });
  expect(seen.console[0] === 200 || /^https:.*9091/.test(seen.console[1])).toBe(true);
  expect(seen.status.pending).toEqual([]);
}, 90_000);
