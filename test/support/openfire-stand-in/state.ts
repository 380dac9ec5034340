/** What an Openfire remembers, as far as its REST plugin shows it, with the traps that the sources have. */
import openfire from "../../../agent/target/openfire/openfire.json" with { type: "json" };

type Fact = { default?: unknown; declared?: boolean; restart?: boolean; type: string };
const facts = new Map<string, Fact>(Object.entries(openfire.properties as Record<string, Fact>));

export type StandInUser = {
  name: string;
  email: string;
  password: string;
  properties: Map<string, string>;
  roster: { jid: string; nickname: string; subscriptionType: number; groups: string[] }[];
};
export type StandInGroup = {
  description: string;
  members: Set<string>;
  admins: Set<string>;
  properties: Map<string, string>;
};

export class OpenfireState {
  readonly domain: string;
  readonly users = new Map<string, StandInUser>();
  readonly groups = new Map<string, StandInGroup>();
  readonly stored = new Map<string, string>();
  /** Survives the deletion of the account. */
  readonly locked = new Set<string>();
  readonly sessions: { jid: string; secure: boolean; at: number }[] = [];
  #atStart = new Map<string, string | undefined>();

  constructor(domain: string) {
    this.domain = domain;
    this.stored.set("xmpp.domain", domain);
    this.stored.set("plugin.restapi.enabled", "true");
    this.users.set("admin", user("Administrator", "admin"));
    this.restart();
  }

  /** As a start of the process. */
  restart(): void {
    this.#atStart = new Map([...facts.keys()].map((key) => [key, this.effective(key)]));
    this.sessions.length = 0;
  }

  /** What a part that reads its properties at start goes by. */
  atStart(key: string): string | undefined {
    return this.#atStart.get(key);
  }

  effective(key: string): string | undefined {
    const stored = this.stored.get(key);
    const fact = facts.get(key);
    if (stored !== undefined || !fact) return stored;
    const value = fact.default;
    if (value === undefined || value === null) return undefined;
    return Array.isArray(value) ? value.join(",") : String(value);
  }

  /** Declared properties with their defaults, and all that are stored. */
  listed(): { key: string; value?: string }[] {
    const declared = [...facts].filter(([, fact]) => fact.declared).map(([key]) => key);
    return [...new Set([...declared, ...this.stored.keys()])].sort().map((key) => {
      const value = this.effective(key);
      return value === undefined ? { key } : { key, value };
    });
  }

  delete(key: string): void {
    for (const one of [...this.stored.keys()]) if (one === key || one.startsWith(`${key}.`)) this.stored.delete(one);
  }

  /** Whether a declared property that is not dynamic differs from its value at start; the domain is left out. */
  get waitsForRestart(): boolean {
    return [...facts].some(
      ([key, fact]) =>
        fact.declared === true &&
        fact.restart === true &&
        key !== "xmpp.domain" &&
        this.effective(key) !== this.#atStart.get(key),
    );
  }

  mayLogIn(name: string, password: string): boolean {
    return this.users.get(name)?.password === password && !this.locked.has(name);
  }

  jid(name: string): string {
    return name.includes("@") ? name : `${name}@${this.domain}`;
  }

  isAdmin(name: string): boolean {
    const list = (this.stored.get("admin.authorizedJIDs") ?? "").split(",").filter(Boolean);
    return list.length === 0 ? name === "admin" : list.includes(this.jid(name));
  }

  /** All that a revision is about, as text to compare: without our own marks of holder and revision. */
  content(): string {
    const own = (key: string) => key.startsWith("firekeeper.");
    return JSON.stringify([
      [...this.stored].filter(([key]) => !own(key)).sort(),
      [...this.users]
        .map(([name, one]) => [name, one.name, one.email, one.password, [...one.properties].sort()])
        .sort((a, b) => String(a[0]).localeCompare(String(b[0]))),
      [...this.groups]
        .map(([name, one]) => [
          name,
          one.description,
          [...one.members].sort(),
          [...one.admins].sort(),
          [...one.properties],
        ])
        .sort((a, b) => String(a[0]).localeCompare(String(b[0]))),
      [...this.locked].sort(),
    ]);
  }
}

export function user(name: string, password: string): StandInUser {
  return { name, email: "", password, properties: new Map(), roster: [] };
}
