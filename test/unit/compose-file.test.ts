import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { parse } from "yaml";

// docker-compose.yml as Docker reads it, without Docker.
const root = join(import.meta.dirname, "../..");

interface Service {
  readonly [key: string]: unknown;
  readonly profiles?: readonly string[];
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<Record<string, unknown>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly ports?: readonly string[];
}
interface Compose {
  readonly [key: string]: unknown;
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}
const compose = parse(await readFile(join(root, "docker-compose.yml"), "utf8"), { merge: true }) as Compose;
const turn = compose.services.turn as Service;

/** Keys of a service that the Compose Specification has and that this file uses. */
const known = new Set([
  ...[
    "image",
    "build",
    "command",
    "entrypoint",
    "environment",
    "ports",
    "volumes",
    "secrets",
    "depends_on",
    "profiles",
  ],
  ...["restart", "stop_grace_period", "read_only", "tmpfs", "cap_drop", "cap_add", "security_opt", "ulimits"],
  ...["healthcheck", "network_mode", "user"],
]);

test("every service has keys that Compose knows, and what it refers to is there", () => {
  expect(
    Object.keys(compose)
      .filter((key) => !key.startsWith("x-"))
      .sort(),
  ).toEqual(["name", "secrets", "services", "volumes"]);
  for (const [name, service] of Object.entries(compose.services)) {
    expect([name, Object.keys(service).filter((key) => !known.has(key))]).toEqual([name, []]);
    expect([name, service.image !== undefined || service.build !== undefined]).toEqual([name, true]);
    for (const secret of service.secrets ?? []) expect(compose.secrets).toHaveProperty([secret, "file"]);
    for (const other of Object.keys(service.depends_on ?? {})) expect(compose.services).toHaveProperty([other]);
    for (const volume of service.volumes ?? []) {
      const [source = ""] = volume.split(":");
      if (/^[./]/.test(source)) continue;
      expect(compose.volumes).toHaveProperty([source]);
    }
    // Unquoted, 22:22 would be a number of base 60.
    for (const port of service.ports ?? []) expect(port).toMatch(/^(127\.0\.0\.1:)?\d+:\d+$/);
  }
});

test("no secret stands in the file, in an environment or among arguments", () => {
  for (const [name, service] of Object.entries(compose.services)) {
    const words = [...Object.entries(service.environment ?? {}).flat(), ...(service.command ?? [])];
    const telling = words.filter((word) => /secret|password/i.test(word) && !/_FILE$|^\/run\/secrets\//.test(word));
    expect([name, telling]).toEqual([name, []]);
  }
});

test("the relay reads the secret from the file that the server's is set from, into a file of its own", async () => {
  expect(turn.profiles).toEqual(["voice"]);
  expect(turn.secrets).toEqual(["turn-secret"]);
  const file = /:-\.\/([^}]+)\}$/.exec(compose.secrets["turn-secret"]?.file ?? "")?.[1];
  const guide = await readFile(join(root, "docs/voice.md"), "utf8");
  expect(guide).toContain(`openssl rand -hex 32 > ${file}`);
  expect(guide).toContain(`firekeeper.turn.secret "$(cat ${file})"`);

  // What the container runs, with its files in a directory and a turnserver that shows what it was given.
  const home = await mkdtemp(join(tmpdir(), "firekeeper-compose-"));
  try {
    await writeFile(join(home, "turn-secret"), "s3cret\n");
    await writeFile(join(home, "turnserver"), `#!/bin/sh\necho "$@"; stat -c %a "$2"; cat "$2"\n`, { mode: 0o755 });
    const [mounted] = (turn.volumes ?? []).map((volume) => volume.split(":"));
    expect(mounted).toEqual(["./docs/examples/turnserver.conf", "/etc/firekeeper/turnserver.conf", "ro"]);
    const [shell = "", flags = "", script = ""] = turn.entrypoint ?? [];
    const here = script
      .replaceAll("$$", "$")
      .replace("/etc/firekeeper/turnserver.conf", join(root, "docs/examples/turnserver.conf"))
      .replace("/run/secrets/", `${home}/`)
      .replaceAll("/tmp/turnserver.conf", `${home}/turnserver.conf`);
    const run = (address: string) =>
      promisify(execFile)(shell, [flags, here], {
        env: { PATH: `${home}:${process.env.PATH}`, TURN_EXTERNAL_IP: address },
      });
    const { stdout } = await run("198.51.100.7/192.168.1.10");
    const [args, mode, ...lines] = stdout.split("\n");
    expect([args, mode]).toEqual([`-c ${home}/turnserver.conf`, "600"]);
    expect(lines).toEqual(expect.arrayContaining(["use-auth-secret", "static-auth-secret=s3cret", "proc-user=nobody"]));
    expect(lines).toContain("external-ip=198.51.100.7/192.168.1.10");
    expect(lines.filter((line) => line.startsWith("denied-peer-ip=")).length).toBeGreaterThan(20);
    expect((await run("")).stdout).not.toContain("external-ip=");
    // Without a secret it does not start: everybody could relay.
    await writeFile(join(home, "turn-secret"), "\n");
    await expect(run("")).rejects.toThrow("turn-secret is empty");
    await rm(join(home, "turn-secret"));
    await expect(run("")).rejects.toThrow();
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});
