/** What the routes do that an agent needs, route by route as restapi.json names them. What is missing here answers 501. */
import { type OpenfireState, type StandInGroup, user } from "./state.ts";

export type Call = {
  state: OpenfireState;
  params: Record<string, string>;
  query: URLSearchParams;
  body: Record<string, unknown> | undefined;
};
export type Reply = { status: number; entity?: unknown };

/** A `ServiceException` of the plugin: becomes an ErrorResponse. */
export class RestFailure extends Error {
  readonly status: number;
  readonly exception: string;
  readonly resource: string;
  constructor(status: number, exception: string, resource: string, message: string) {
    super(message);
    this.status = status;
    this.exception = exception;
    this.resource = resource;
  }
}

const ok: Reply = { status: 200 };
const created: Reply = { status: 201 };
const text = (value: unknown) => (typeof value === "string" ? value : undefined);
const texts = (value: unknown) => (Array.isArray(value) ? value.map(String) : []);
const pairs = (value: unknown) =>
  new Map(
    (Array.isArray(value) ? value : []).map(({ key, value }: { key: string; value: string }) => [key, value] as const),
  );

function userOf({ state, params }: Call) {
  const name = params.username ?? "";
  const found = state.users.get(name);
  if (!found) throw new RestFailure(404, "UserNotFoundException", name, "Could not get user");
  return found;
}

function groupOf(state: OpenfireState, name: string): StandInGroup {
  const found = state.groups.get(name);
  if (!found) throw new RestFailure(404, "GroupNotFoundException", name, "Could not find group");
  return found;
}

function userEntity(state: OpenfireState, username: string) {
  const one = state.users.get(username);
  return {
    username,
    name: one?.name,
    email: one?.email,
    properties: [...(one?.properties ?? [])].map(([key, value]) => ({ key, value })),
  };
}

/** As `POST /groups`, which a membership in a missing group also comes to, then unshared. */
function newGroup(state: OpenfireState, body: Record<string, unknown>): StandInGroup {
  const name = text(body.name) ?? "";
  if (name === "") throw new RestFailure(400, "IllegalArgumentException", "groups", "Could not create new group");
  if (state.groups.has(name))
    throw new RestFailure(409, "GroupAlreadyExistsException", name, "Could not create a group");
  const group: StandInGroup = {
    description: text(body.description) ?? "",
    members: new Set(texts(body.members).map((one) => state.jid(one))),
    admins: new Set(texts(body.admins).map((one) => state.jid(one))),
    properties: new Map([
      ["sharedRoster.showInRoster", body.shared === true ? "onlyGroup" : "nobody"],
      ["sharedRoster.displayName", name],
      ["sharedRoster.groupList", ""],
    ]),
  };
  state.groups.set(name, group);
  return group;
}

function join(state: OpenfireState, member: string, name: string): void {
  const group = state.groups.get(name) ?? newGroup(state, { name });
  group.admins.delete(state.jid(member));
  group.members.add(state.jid(member));
}

function vCardless(call: Call): Reply {
  userOf(call);
  return { status: 204 };
}

export const handlers: Record<string, (call: Call) => Reply> = {
  "GET /system/properties": ({ state }) => ({ status: 200, entity: { property: state.listed() } }),
  "POST /system/properties": ({ state, body = {} }) => {
    const key = text(body.key) ?? "";
    const value = text(body.value);
    if (value === undefined) state.delete(key);
    else state.stored.set(key, value);
    return created;
  },
  "GET /system/properties/{propertyKey}": ({ state, params }) => {
    const key = params.propertyKey ?? "";
    const value = state.stored.get(key);
    if (value === undefined) throw new RestFailure(404, "PropertyNotFoundException", key, "Could not find property");
    return { status: 200, entity: { key, value } };
  },
  "PUT /system/properties/{propertyKey}": ({ state, params, body = {} }) => {
    const key = params.propertyKey ?? "";
    if (!state.stored.has(key))
      throw new RestFailure(404, "PropertyNotFoundException", key, "Could not find property for update");
    if (body.key !== key) throw new RestFailure(400, "IllegalArgumentException", key, "names do not match");
    state.stored.set(key, text(body.value) ?? "");
    return ok;
  },
  "DELETE /system/properties/{propertyKey}": ({ state, params }) => {
    const key = params.propertyKey ?? "";
    if (!state.stored.has(key)) throw new RestFailure(404, "PropertyNotFoundException", key, "Could not find property");
    state.delete(key);
    return ok;
  },
  "GET /system/liveness": ({ state }) => ({ status: state.waitsForRestart ? 503 : 200 }),
  "GET /system/liveness/deadlock": () => ok,
  "GET /system/liveness/properties": ({ state }) => ({ status: state.waitsForRestart ? 503 : 200 }),
  "GET /system/readiness": () => ok,
  "GET /system/readiness/server": () => ok,
  "GET /system/readiness/cluster": () => ok,
  "GET /system/readiness/plugins": () => ok,
  "GET /system/readiness/connections": ({ query }) =>
    query.has("connectionType") && !query.has("encrypted") ? { status: 400 } : ok,

  "GET /users": ({ state, query }) => {
    const key = query.get("propertyKey");
    const value = query.get("propertyValue");
    const search = query.get("search") ?? "";
    const found = [...state.users].filter(([name, one]) =>
      key === null
        ? name.includes(search)
        : one.properties.has(key) && (value === null || one.properties.get(key) === value),
    );
    return { status: 200, entity: { users: found.map(([name]) => userEntity(state, name)) } };
  },
  "POST /users": ({ state, body = {} }) => {
    const name = (text(body.username) ?? "").toLowerCase();
    if (name === "") throw new RestFailure(400, "IllegalArgumentException", "users", "Could not create new user");
    const password = text(body.password);
    if (password === undefined)
      throw new RestFailure(400, "PasswordIsNull", name, "Could not create new user, because password is null");
    if (state.users.has(name))
      throw new RestFailure(409, "UserAlreadyExistsException", name, "Could not create new user");
    const made = user(text(body.name) ?? "", password);
    state.users.set(name, { ...made, email: text(body.email) ?? "", properties: pairs(body.properties) });
    return created;
  },
  "GET /users/{username}": (call) => {
    userOf(call);
    return { status: 200, entity: userEntity(call.state, call.params.username ?? "") };
  },
  "PUT /users/{username}": (call) => {
    const { state, params, body = {} } = call;
    const found = userOf(call);
    const other = text(body.username);
    if (other !== undefined && other !== params.username) {
      if (state.effective("user.scramHashedPasswordOnly") === "true")
        throw new RestFailure(500, "UnsupportedOperationException", other, "no reversible password");
      if (state.users.has(other))
        throw new RestFailure(409, "UserAlreadyExistsException", other, "Could not create new user");
      state.users.delete(params.username ?? "");
      state.users.set(other, { ...found, properties: pairs(body.properties) });
      return ok;
    }
    found.password = text(body.password) ?? found.password;
    found.name = text(body.name) ?? found.name;
    found.email = text(body.email) ?? found.email;
    // What is not named is gone.
    found.properties = pairs(body.properties);
    return ok;
  },
  "DELETE /users/{username}": (call) => {
    userOf(call);
    call.state.users.delete(call.params.username ?? "");
    return ok;
  },
  "POST /lockouts/{username}": (call) => {
    userOf(call);
    call.state.locked.add(call.params.username ?? "");
    return created;
  },
  "DELETE /lockouts/{username}": (call) => {
    userOf(call);
    call.state.locked.delete(call.params.username ?? "");
    return ok;
  },
  "GET /users/{username}/groups": (call) => {
    userOf(call);
    const jid = call.state.jid(call.params.username ?? "");
    const names = [...call.state.groups].filter(([, one]) => one.members.has(jid) || one.admins.has(jid));
    return { status: 200, entity: { groupnames: names.map(([name]) => name) } };
  },
  "POST /users/{username}/groups": ({ state, params, body = {} }) => {
    for (const name of texts(body.groupnames)) join(state, params.username ?? "", name);
    return created;
  },
  "DELETE /users/{username}/groups": ({ state, params, body = {} }) => {
    for (const name of texts(body.groupnames)) groupOf(state, name).members.delete(state.jid(params.username ?? ""));
    return ok;
  },
  "POST /users/{username}/groups/{groupName}": ({ state, params }) => {
    join(state, params.username ?? "", params.groupName ?? "");
    return created;
  },
  "DELETE /users/{username}/groups/{groupName}": ({ state, params }) => {
    groupOf(state, params.groupName ?? "").members.delete(state.jid(params.username ?? ""));
    return ok;
  },
  "GET /users/{username}/roster": (call) => ({ status: 200, entity: { rosterItem: userOf(call).roster } }),
  "GET /users/{username}/vcard": vCardless,

  "GET /groups": ({ state }) => ({
    status: 200,
    entity: {
      groups: [...state.groups].map(([name, { description }]) => ({
        name,
        description,
        admins: [],
        members: [],
        shared: false,
      })),
    },
  }),
  "POST /groups": ({ state, body = {} }) => {
    newGroup(state, body);
    return created;
  },
  "GET /groups/{groupName}": ({ state, params }) => {
    const name = params.groupName ?? "";
    const { description, members, admins, properties } = groupOf(state, name);
    const shared = properties.get("sharedRoster.showInRoster") === "onlyGroup";
    return { status: 200, entity: { name, description, admins: [...admins], members: [...members], shared } };
  },
  "PUT /groups/{groupName}": ({ state, params, body = {} }) => {
    const name = params.groupName ?? "";
    if (body.name !== name) throw new RestFailure(400, "IllegalArgumentException", name, "names differ");
    const group = groupOf(state, name);
    // Whoever is not named leaves.
    group.description = text(body.description) ?? "";
    group.members = new Set(texts(body.members).map((one) => state.jid(one)));
    group.admins = new Set(texts(body.admins).map((one) => state.jid(one)));
    group.properties.set("sharedRoster.showInRoster", body.shared === true ? "onlyGroup" : "nobody");
    return ok;
  },
  "DELETE /groups/{groupName}": ({ state, params }) => {
    groupOf(state, params.groupName ?? "");
    state.groups.delete(params.groupName ?? "");
    return ok;
  },

  "GET /sessions": ({ state }) => ({
    status: 200,
    entity: {
      sessions: state.sessions.map(({ jid, secure, at }) => ({
        sessionId: jid,
        username: jid.slice(0, jid.indexOf("@")),
        resource: jid.slice(jid.indexOf("/") + 1),
        node: "Local",
        sessionStatus: "Authenticated",
        presenceStatus: "Online",
        priority: 0,
        hostAddress: "127.0.0.1",
        hostName: "localhost",
        creationDate: at,
        lastActionDate: at,
        secure,
      })),
    },
  }),
  "GET /sessions/{username}": ({ state, params }) => ({
    status: 200,
    entity: { sessions: state.sessions.filter((one) => one.jid.startsWith(`${params.username}@`)) },
  }),
  "DELETE /sessions/{username}": () => ok,
  "GET /system/statistics/sessions": ({ state }) => ({
    status: 200,
    entity: { localSessions: state.sessions.length, clusterSessions: state.sessions.length },
  }),
  "GET /clustering/status": () => ({ status: 200, entity: { status: "Disabled" } }),
  "GET /clustering/nodes": () => ({ status: 200, entity: { clusterNodes: [] } }),
};
