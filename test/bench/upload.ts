/** `npm run bench -- --upload`: files by HTTPS, into and out of Firekeeper and nginx (WebDAV's PUT, static GET), in one run. */
import { execFile } from "node:child_process";
import { open, writeFile } from "node:fs/promises";
import { Agent, request } from "node:https";
import { join } from "node:path";
import { promisify } from "node:util";
import { freshDirectory, installed, packageVersion, selfSigned } from "../peers/peer.ts";
import { freePorts, startChild } from "../support/child.ts";
import { startService, until } from "../support/processes.ts";
import { askSlot, slotOf } from "../support/uploads.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import { cpuMicroseconds, memoryBytes, processTree } from "./proc.ts";

const run = promisify(execFile);
const mb = 1_000_000;
const smallBytes = 100_000;
/** Small files that are under way at the same time, each on a connection that is kept. */
const atOnce = 8;

/** Where one file goes, and where it is read again. */
type Place = { put: string; get: string; headers: Record<string, string> };
type Store = {
  readonly name: string;
  readonly version: string;
  pids(): number[];
  place(bytes: number): Promise<Place>;
  stop(): Promise<void>;
};
type Row = { what: string; bytes: number; wallMs: number; cpuMs: number; grownMiB: number };
export type UploadSize = { largeMb: number; small: number; hugeMb: number };

/** Measures all that is installed and gives a table. */
export async function uploadTable(size: UploadSize, machine: string): Promise<string> {
  if (!(await installed("curl"))) throw new Error("apt-get install curl");
  const measured: { store: Store; rows: Row[] }[] = [];
  for (const start of [startFirekeeper, startNginx]) {
    const store = await start();
    if (store === undefined) continue;
    console.error(`${store.name} ${store.version} …`);
    try {
      measured.push({ store, rows: await measure(store, size) });
    } finally {
      await store.stop();
    }
  }
  const lines = measured.flatMap(({ store, rows }) =>
    rows.map((row, at) => {
      const beside = measured.find((one) => one.store.name === "nginx")?.rows[at];
      const ratio = beside === undefined || beside === row ? "" : ` (${(row.cpuMs / beside.cpuMs).toFixed(1)})`;
      const cells = [
        `${(row.bytes / mb / (row.wallMs / 1000)).toFixed(0)} MB/s`,
        `${((row.cpuMs * 1000) / (row.bytes / mb)).toFixed(0)} µs${ratio}`,
        `${row.grownMiB.toFixed(0)} MiB`,
      ];
      return `| ${row.what} | ${store.name} | ${cells.join(" | ")} |`;
    }),
  );
  const names = measured.map(({ store }) => `${store.name} ${store.version}`).join(", ");
  return [
    `${machine}; ${names}`,
    "",
    "| over TLS | | rate | CPU for a MB, ratio to nginx | memory at most above its start |",
    "| --- | --- | ---: | ---: | ---: |",
    ...lines,
  ].join("\n");
}

async function measure(store: Store, { largeMb, small, hugeMb }: UploadSize): Promise<Row[]> {
  const directory = await freshDirectory("bench-files");
  const rows: Row[] = [];
  try {
    for (const megabytes of [largeMb, hugeMb].filter((one) => one > 0)) {
      const file = join(directory.path, "file");
      await writeFile(file, "");
      const handle = await open(file, "r+");
      await handle.truncate(megabytes * mb);
      await handle.close();
      const place = await store.place(megabytes * mb);
      const headers = Object.entries(place.headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
      const curl = ["-sSk", "--fail", "--ipv4", "--http1.1", "-o", "/dev/null"];
      const up = () => run("curl", [...curl, ...headers, "-T", file, place.put]);
      rows.push(await span(store, `PUT of ${megabytes} MB`, megabytes * mb, up));
      const down = () => run("curl", [...curl, place.get]);
      rows.push(await span(store, `GET of ${megabytes} MB`, megabytes * mb, down));
    }
    const agent = new Agent({ keepAlive: true, maxSockets: atOnce, rejectUnauthorized: false });
    const content = Buffer.alloc(smallBytes, "0123456789abcdef");
    const places: Place[] = [];
    const each = async (work: (at: number) => Promise<void>): Promise<void> => {
      let next = 0;
      const worker = async (): Promise<void> => {
        while (next < small) await work(next++);
      };
      await Promise.all(Array.from({ length: atOnce }, worker));
    };
    const all = small * smallBytes;
    const putAll = () =>
      each(async (at) => {
        const place = await store.place(smallBytes);
        places[at] = place;
        await ask("PUT", place.put, agent, place.headers, content);
      });
    rows.push(await span(store, `PUT of ${small} × 100 kB`, all, putAll));
    rows.push(
      await span(store, `GET of ${small} × 100 kB`, all, () => each((at) => ask("GET", places[at]?.get ?? "", agent))),
    );
    agent.destroy();
    return rows;
  } finally {
    await directory.remove();
  }
}

/** What the store's processes spent while this was done. */
async function span(store: Store, what: string, bytes: number, work: () => Promise<unknown>): Promise<Row> {
  const pids = store.pids();
  const before = memoryBytes(pids);
  let most = before;
  const watch = setInterval(() => {
    most = Math.max(most, memoryBytes(pids));
  }, 100);
  const cpu = cpuMicroseconds(pids);
  const began = performance.now();
  try {
    await work();
  } finally {
    clearInterval(watch);
  }
  const wallMs = performance.now() - began;
  const cpuMs = (cpuMicroseconds(pids) - cpu) / 1000;
  return { what, bytes, wallMs, cpuMs, grownMiB: (most - before) / 1024 / 1024 };
}

function ask(
  method: string,
  url: string,
  agent: Agent,
  headers: Record<string, string> = {},
  body?: Buffer,
): Promise<void> {
  const length = body === undefined ? {} : { "content-length": String(body.length) };
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, agent, family: 4, headers: { ...headers, ...length } }, (answer) => {
      const status = answer.statusCode ?? 0;
      answer.resume();
      answer.once("end", () => (status < 300 ? resolve() : reject(new Error(`${method} ${url}: ${status}`))));
    });
    asked.once("error", reject);
    asked.end(body);
  });
}

async function startFirekeeper(): Promise<Store> {
  const limits = ["plugin.httpfileupload.maxFileSize", "firekeeper.upload.day-bytes", "firekeeper.upload.user-bytes"];
  const service = await startService({
    host: { users: [{ name: "alice", password: "alice" }] },
    properties: {
      ...Object.fromEntries(limits.map((key) => [key, -1])),
      "firekeeper.upload.keep-free-bytes": 0,
      "xmpp.ratelimit.newconnections.c2s.enabled": false,
      "firekeeper.client.trusted-networks": "127.0.0.0/8",
    },
  });
  try {
    const inStep = async (): Promise<boolean> => (await service.cli(["plan"])).code === 0;
    await until(inStep, 60_000, () => `the account did not get ready\n${service.logs()}`);
    const where = { host: service.host, port: service.ports.plain, domain: service.domain };
    const alice = await XmppClient.login({ ...where, user: "alice", password: "alice" });
    return {
      name: "Firekeeper",
      version: `on Node ${process.version}, fsync before each answer`,
      pids: () => service.pids(),
      place: async (size) => slotOf(await askSlot(alice, { size, to: `upload.${service.domain}` })),
      async stop() {
        alice.drop();
        await service.stop();
      },
    };
  } catch (error) {
    await service.stop();
    throw error;
  }
}

async function startNginx(): Promise<Store | undefined> {
  if (!(await installed("nginx"))) {
    console.error("nginx: not installed (apt-get install nginx-light), left out");
    return undefined;
  }
  const directory = await freshDirectory("bench-nginx");
  const { key, cert } = await selfSigned(directory.path, "localhost");
  const [port = 0] = await freePorts(1);
  const config = join(directory.path, "nginx.conf");
  await writeFile(
    config,
    `daemon off; worker_processes 1; user root; pid ${directory.path}/pid; error_log stderr warn;
events { worker_connections 512; }
http {
  access_log off; sendfile on; client_body_temp_path ${directory.path}/incoming; client_max_body_size 0;
  ${["proxy", "fastcgi", "uwsgi", "scgi"].map((one) => `${one}_temp_path ${directory.path}/${one};`).join(" ")}
  keepalive_requests 100000;
  server {
    listen 127.0.0.1:${port} ssl; ssl_protocols TLSv1.3; ssl_certificate ${cert}; ssl_certificate_key ${key};
    root ${directory.path}/files; dav_methods PUT; create_full_put_path on;
  }
}
`,
  );
  const child = startChild("/usr/sbin/nginx", ["-p", directory.path, "-c", config]);
  const url = (name: string): string => `https://localhost:${port}/${name}`;
  const answers = async (): Promise<boolean> =>
    run("curl", ["-sk", "--ipv4", url("")]).then(
      () => true,
      () => false,
    );
  await until(answers, 10_000, () => child.output());
  let files = 0;
  return {
    name: "nginx",
    version: `${await packageVersion("nginx-light")}, one worker, no fsync`,
    pids: () => processTree(child.pid),
    async place() {
      const address = url(`f${files++}`);
      return { put: address, get: address, headers: {} };
    },
    async stop() {
      await child.stop();
      await directory.remove();
    },
  };
}
