import { fileURLToPath } from "node:url";
import { startEjabberd } from "../peers/ejabberd.ts";
import { freshDirectory, installed, type Peer, selfSigned } from "../peers/peer.ts";
import { startProsody } from "../peers/prosody.ts";
import { startChild } from "../support/child.ts";
import { passwordOf, userOf } from "./accounts.ts";
import { startFirekeeper } from "./firekeeper.ts";
import type { LoadTarget } from "./load-client.ts";
import { processTree } from "./proc.ts";

/** A server under the bench. */
export type Subject = {
  readonly name: string;
  readonly version: string;
  readonly setup: string;
  readonly target: LoadTarget;
  /** Where WebSocket is spoken. */
  readonly webPort?: number;
  /** Every process that works for it. */
  pids(): number[];
  /** An orderly restart of the part that handles stanzas, where connections are meant to survive one. */
  restart: (() => Promise<void>) | undefined;
  stop(): Promise<void>;
};

export const subjectNames = ["firekeeper", "prosody", "ejabberd", "relay"] as const;
export type SubjectName = (typeof subjectNames)[number];

/** Starts a subject with `users` accounts; undefined with a printed reason where its program is missing. */
export async function startSubject(
  name: SubjectName,
  options: { archive: boolean; users: number; services?: boolean },
): Promise<Subject | undefined> {
  const users = Array.from({ length: options.users }, (_, index) => ({
    user: userOf(index),
    password: passwordOf(index),
  }));
  if (name === "relay") return startRelay();
  if (name === "firekeeper") return startFirekeeper({ archive: options.archive, users });
  const program = name === "prosody" ? "prosody" : "ejabberdctl";
  if (!(await installed(program))) {
    console.error(`${name}: not installed (apt-get install ${name}), left out`);
    return undefined;
  }
  const { archive, services } = options;
  const peer = await (name === "prosody" ? startProsody : startEjabberd)({ archive, ...(services && { services }) });
  await peer.addUsers(users);
  return fromPeer(peer);
}

function fromPeer(peer: Peer): Subject {
  return {
    name: peer.name,
    version: peer.version,
    setup: peer.setup,
    target: { host: peer.host, port: peer.port, domain: peer.domain, kind: "xmpp" },
    pids: () => processTree(peer.pid),
    restart: undefined,
    stop: peer.stop,
  };
}

async function startRelay(): Promise<Subject> {
  const directory = await freshDirectory("relay");
  const { key, cert } = await selfSigned(directory.path, "localhost");
  const script = fileURLToPath(new URL("relay.ts", import.meta.url));
  const child = startChild(process.execPath, [...process.execArgv, script, key, cert]);
  const [, port] = await child.printed(/listening on (\d+)/);
  return {
    name: "relay",
    version: process.version,
    setup: "bare Node TLS relay of the same bytes",
    target: { host: "127.0.0.1", port: Number(port), domain: "localhost", kind: "relay" },
    pids: () => processTree(child.pid),
    restart: undefined,
    async stop() {
      await child.stop();
      await directory.remove();
    },
  };
}
