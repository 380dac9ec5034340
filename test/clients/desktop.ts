/** A desktop of its own for programs with windows: display, window manager, session bus and home directory, all below one temporary folder. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freshDirectory, installed } from "../peers/peer.ts";
import type { Network } from "./network.ts";

const run = promisify(execFile);

export interface Desktop {
  /** Its home directory. */
  readonly home: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Starts a program on it, inside the network if one is given; it is ended with the desktop at the latest. */
  start(program: string, argv: readonly string[], network?: Network): Program;
  /** Runs a command on it and returns what it prints. */
  ask(program: string, ...argv: string[]): Promise<string>;
  /** Writes a picture of the screen among the artefacts; the path is printed. */
  picture(name: string): Promise<void>;
  stop(): Promise<void>;
}

export interface Program {
  readonly child: ChildProcess;
  /** The end of what it printed. */
  output(): string;
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

/** Why no desktop can be had here; undefined if one can. */
export async function desktopMissing(): Promise<string | undefined> {
  const programs = ["Xvfb", "openbox", "dbus-daemon", "import", "xdotool", "gdbus"];
  return (await installed(...programs))
    ? undefined
    : "apt-get install xvfb openbox dbus imagemagick xdotool libglib2.0-bin";
}

/** Where screenshots go: $FIREKEEPER_ARTIFACTS, else a temporary folder that stays. */
let artifacts: Promise<string> | undefined;
function artifactFolder(): Promise<string> {
  const given = process.env.FIREKEEPER_ARTIFACTS;
  artifacts ??=
    given === undefined
      ? mkdtemp(join(tmpdir(), "firekeeper-pictures-"))
      : mkdir(given, { recursive: true }).then(() => given);
  return artifacts;
}

/** With `accessible`, what is shown can be read and pressed by the accessibility bus. */
export async function startDesktop(name: string, options: { accessible?: boolean } = {}): Promise<Desktop> {
  const directory = await freshDirectory(`desktop-${name}`);
  const home = join(directory.path, "home");
  const runtime = join(directory.path, "run");
  await mkdir(home);
  await mkdir(runtime, { mode: 0o700 });
  const programs: Program[] = [];
  const environment: NodeJS.ProcessEnv = {
    PATH: process.env.PATH,
    HOME: home,
    XDG_RUNTIME_DIR: runtime,
    LANG: "C.UTF-8",
    LC_ALL: "C.UTF-8",
    TZ: "UTC",
    GSETTINGS_BACKEND: "memory",
    LIBGL_ALWAYS_SOFTWARE: "1",
    GSK_RENDERER: "cairo",
    ...(options.accessible ? {} : { NO_AT_BRIDGE: "1" }),
  };
  const start: Desktop["start"] = (program, argv, network) => {
    giveAway(directory.path);
    const [command, ...rest] = [...(network?.enter ?? []), ...asNobody, program, ...argv];
    const started = startProgram(command ?? program, rest, environment, home);
    programs.push(started);
    return started;
  };
  const desktop: Desktop = {
    home,
    environment,
    start,
    async ask(program, ...argv) {
      const [command, ...rest] = [...asNobody, program, ...argv];
      return (
        await run(command ?? program, rest, { env: environment, cwd: home, timeout: 30_000, maxBuffer: 16 << 20 })
      ).stdout;
    },
    async picture(what) {
      const file = join(await artifactFolder(), `${name}-${what.replaceAll(/[^\w-]+/g, "-")}.png`);
      await run("import", ["-window", "root", file], { env: environment, timeout: 30_000 })
        .then(() => console.info(`picture: ${file}`))
        .catch((error: unknown) => console.warn(`no picture of ${what}: ${String(error)}`));
    },
    async stop() {
      // The display last: who loses it under his hands writes no file any more.
      for (const program of programs.reverse()) await program.stop();
      await directory.remove();
    },
  };
  try {
    const busConfig = join(directory.path, "bus.conf");
    await writeFile(busConfig, busXml(runtime));
    giveAway(directory.path);
    const display = startAnnounced(
      "Xvfb",
      ["-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
      home,
    );
    const bus = startAnnounced("dbus-daemon", [`--config-file=${busConfig}`, "--nofork", "--print-address=3"], home);
    programs.push(display.program, bus.program);
    environment.DISPLAY = `:${await display.said}`;
    environment.DBUS_SESSION_BUS_ADDRESS = await bus.said;
    start("openbox", ["--sm-disable"]);
    if (options.accessible) start("/usr/libexec/at-spi-bus-launcher", ["--launch-immediately"]);
  } catch (error) {
    await desktop.stop();
    throw error;
  }
  return desktop;
}

/** A session bus that starts nothing by itself: no keyring, no portal, no service of this machine. */
const busXml = (
  runtime: string,
) => `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=${runtime}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
`;

function startProgram(command: string, argv: readonly string[], env: NodeJS.ProcessEnv, cwd: string): Program {
  return follow(spawn(command, argv, { env, cwd, stdio: ["pipe", "pipe", "pipe"] }));
}

/** Programs with windows do not want to be root (Gajim ends at once), so what is below them belongs to somebody else then. */
const isRoot = process.getuid?.() === 0;
const asNobody = isRoot ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] : [];
function giveAway(folder: string): void {
  if (isRoot) execFileSync("chown", ["-R", "65534:65534", folder]);
}

/** Starts a program that writes one line to descriptor 3 when it is ready. */
function startAnnounced(
  command: string,
  argv: readonly string[],
  cwd: string,
): { program: Program; said: Promise<string> } {
  const [first, ...rest] = [...asNobody, command, ...argv];
  const child = spawn(first ?? command, rest, { cwd, stdio: ["ignore", "pipe", "pipe", "pipe"] });
  const program = follow(child);
  const said = new Promise<string>((resolve, reject) => {
    let text = "";
    child.stdio[3]?.on("data", (chunk: Buffer) => {
      text += chunk;
      if (text.includes("\n")) resolve(text.trim());
    });
    child.once("error", reject);
    void program.ended.then(() => reject(new Error(`${command} ended\n${program.output()}`)));
  });
  said.catch(() => {});
  return { program, said };
}

function follow(child: ChildProcess): Program {
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(-50_000);
    });
  const ended = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", (error) => {
      output += String(error);
      resolve();
    });
  });
  return {
    child,
    output: () => output,
    ended,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await ended;
      clearTimeout(timer);
    },
  };
}
