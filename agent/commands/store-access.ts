/**
 * How a command reaches the host store: through the running agent, which then takes the change at once, or on the file itself
 * under its lock. Both ways speak these requests; a clear password never travels in one.
 */
import { z } from "zod";
import { desired } from "../desired/desired.ts";
import type { Environment } from "../environment.ts";
import { type HostChange, hostChange } from "../store/host-change.ts";
import type { HostStore, Snapshot, User } from "../store/host-store.ts";
import { openStore } from "../store/open.ts";

export const storeRequest = z.discriminatedUnion("ask", [
  z.object({ ask: z.literal("store-read") }),
  z.object({ ask: z.literal("store-edit"), change: hostChange }),
]);
export type StoreRequest = z.infer<typeof storeRequest>;

const notice = z.object({
  code: z.string(),
  message: z.string(),
  hint: z.string().optional(),
  where: z.string().optional(),
});

/** The store as a command shows it: who has a password, never which. */
export const storeView = z.object({
  source: z.string(),
  writable: z.boolean(),
  settings: z.array(z.tuple([z.string(), z.string()])),
  roles: z.array(
    z.object({
      name: z.string(),
      types: z.array(z.string()),
      members: z.union([z.literal("all"), z.array(z.string())]),
      teams: z.array(z.string()).optional(),
    }),
  ),
  teams: z
    .array(
      z.object({
        id: z.string(),
        name: z.string(),
        extension: z.string().optional(),
        kind: z.string(),
        members: z.array(z.object({ user: z.string(), dynamic: z.boolean() })),
      }),
    )
    .optional(),
  users: z.array(
    z.object({
      name: z.string(),
      id: z.string().optional(),
      displayName: z.string().optional(),
      email: z.string().optional(),
      aliases: z.array(z.string()).optional(),
      enabled: z.boolean(),
      hasPassword: z.boolean(),
    }),
  ),
  notices: z.array(notice),
});
export type StoreView = z.infer<typeof storeView>;

export const storeEdited = z.object({
  changed: z.boolean(),
  summary: z.string(),
  /** What the plan will say because of this change. */
  notices: z.array(notice),
  /** What the agent did with it: `live as revision 7`, `waits for apply`. Absent when no agent runs. */
  outcome: z.string().optional(),
  removes: z.object({
    users: z.array(z.string()),
    roles: z.array(z.string()),
    memberships: z.array(z.object({ role: z.string(), user: z.string() })),
  }),
});
export type StoreEdited = z.infer<typeof storeEdited>;

export interface StoreAccess {
  read(): Promise<StoreView>;
  edit(change: HostChange): Promise<StoreEdited>;
}

/** The agent's side: answers one request. The caller adds `outcome` and starts the reconcile, with `removes` confirmed. */
export async function answerStoreRequest(store: HostStore, request: StoreRequest): Promise<StoreView | StoreEdited> {
  if (request.ask === "store-read") return view(store, await store.read());
  const before = await store.lastGood();
  const edited = await store.edit(request.change);
  const known = new Set(before ? notices(before).map((one) => one.message) : []);
  return {
    changed: edited.changed,
    summary: edited.summary,
    notices: notices(edited.snapshot).filter((one) => !known.has(one.message)),
    removes: storeEdited.shape.removes.parse(edited.removes),
  };
}

/** The command's side of a running agent: `send` carries a request to `agent.sock` and gives the answer, or throws its error. */
export function storeThroughAgent(send: (request: StoreRequest) => Promise<unknown>): StoreAccess {
  return {
    read: async () => storeView.parse(await send({ ask: "store-read" })),
    edit: async (change) => storeEdited.parse(await send({ ask: "store-edit", change })),
  };
}

/** Without an agent: the store itself. A missing file is not made here; an agent that starts does that. */
export function storeOnDisk(
  environment: Pick<Environment, "home" | "store"> & Partial<Pick<Environment, "storeConfig">>,
): StoreAccess {
  const { home, store: at, storeConfig: config } = environment;
  return storeThroughAgent(async (request) => {
    const { store, close } = await openStore({ at, config }, { home, create: false });
    try {
      return await answerStoreRequest(store, request);
    } finally {
      await close();
    }
  });
}

function view(store: HostStore, snapshot: Snapshot): StoreView {
  return {
    source: snapshot.source,
    writable: store.writable,
    settings: [...snapshot.settings],
    ...(snapshot.teams && snapshot.teams.length > 0
      ? { teams: snapshot.teams.map((team) => ({ ...team, members: [...team.members] })) }
      : {}),
    roles: snapshot.roles.map(({ name, types, members, teams }) => ({
      ...(teams ? { teams: [...teams] } : {}),
      name,
      types: [...types],
      members: members === "all" ? members : [...members],
    })),
    users: snapshot.users.map(({ name, id, displayName, email, aliases, enabled, ...secrets }) => ({
      name,
      ...(id === undefined ? {} : { id }),
      ...(aliases === undefined ? {} : { aliases: [...aliases] }),
      ...(displayName === undefined ? {} : { displayName }),
      ...(email === undefined ? {} : { email }),
      enabled,
      hasPassword: hasPassword(secrets),
    })),
    notices: notices(snapshot),
  };
}

function hasPassword({ credentials, passwordHash, passwordFrom = "store", deriving }: Partial<User>): boolean {
  return (
    [credentials, passwordHash].some((given) => given !== undefined) || passwordFrom !== "store" || deriving === true
  );
}

function notices(snapshot: Snapshot) {
  return [...desired(snapshot, {}).notices];
}
