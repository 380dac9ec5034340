/** Which database `FIREKEEPER_STORE` means: `postgres://user@host:port/database`, `mysql://…`. The password never leaves this value. */
import { isIP } from "node:net";
import { userInfo } from "node:os";
import { StoreError } from "../host-store.ts";
import { nearestName } from "../nearest-name.ts";

export interface SqlPlace {
  readonly kind: "postgres" | "mysql";
  readonly host: string;
  readonly port: number;
  /** Directory of the Unix socket with PostgreSQL, the socket itself with MariaDB; the host means nothing then. */
  readonly socket: string | undefined;
  readonly user: string;
  readonly password: string | undefined;
  readonly database: string;
}

const schemes = { "postgres:": "postgres", "postgresql:": "postgres", "mysql:": "mysql", "mariadb:": "mysql" } as const;
const usual = { postgres: { name: "PostgreSQL", port: 5432 }, mysql: { name: "MariaDB", port: 3306 } } as const;

/**
 * Reads the URL. A Unix socket is the parameter `socket`: `postgres:///pbx?socket=/var/run/postgresql`.
 * Throws `store/config`, which never quotes the URL: it may hold a password.
 */
export function sqlPlace(at: string): SqlPlace {
  let url: URL;
  try {
    url = new URL(at);
  } catch {
    throw refused("The URL in FIREKEEPER_STORE cannot be read", "Write postgres://user@host:5432/database.");
  }
  const kind = schemes[url.protocol as keyof typeof schemes];
  if (kind === undefined) throw refused("FIREKEEPER_STORE names no database", "Write postgres:// or mysql://.");
  for (const name of url.searchParams.keys()) {
    if (name === "socket") continue;
    const meant = nearestName(name, ["socket"]);
    const rest = "TLS, time limits and the password stand in the file of FIREKEEPER_STORE_CONFIG.";
    throw refused(
      `The URL in FIREKEEPER_STORE has a parameter ${name}, which means nothing`,
      meant ? `Did you mean ${meant}?` : rest,
    );
  }
  const database = decoded(url.pathname.slice(1));
  if (database === "") throw refused("The URL in FIREKEEPER_STORE names no database", "Add /database after the host.");
  const socket = url.searchParams.get("socket") ?? undefined;
  return {
    kind,
    host: decoded(url.hostname).replace(/^\[|\]$/g, "") || "localhost",
    port: url.port === "" ? usual[kind].port : Number(url.port),
    socket,
    user: decoded(url.username) || userInfo().username,
    password: url.password === "" ? undefined : decoded(url.password),
    database,
  };
}

/** `PostgreSQL at db.example.org/pbx`; never a password. */
export function describePlace({ kind, host, port, socket, database }: SqlPlace): string {
  const { name, port: standard } = usual[kind];
  const bracketed = isIP(host) === 6 ? `[${host}]` : host;
  return `${name} at ${socket ?? bracketed}${socket || port === standard ? "" : `:${port}`}/${database}`;
}

/** Whether what is sent there stays on this machine. */
export function staysHere({ host, socket }: SqlPlace): boolean {
  return (
    socket !== undefined || host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."))
  );
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw refused("The URL in FIREKEEPER_STORE has a % that encodes nothing", "Write %25 for a percent sign.");
  }
}

function refused(message: string, hint: string): StoreError {
  return new StoreError("store/config", `${message}.`, { hint });
}
