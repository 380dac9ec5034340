import type { Account } from "../../routing/accounts.ts";
import type { Names } from "../../routing/names.ts";
import type { Views } from "../../routing/views.ts";
import { rawXml, type Xml, x } from "../../xml/writer.ts";

/** One resource that a component shows for somebody. Immutable. */
export interface Virtual {
  readonly account: Account;
  readonly resource: string;
  /** Of the component. */
  readonly label: string;
  readonly lang: string | undefined;
  /** Canonical, written under `view`, with a priority that no chat goes to. */
  readonly payload: Buffer;
  readonly view: string;
}

/** Everything that components show now, by account and resource. */
export interface ShownPresences {
  readonly size: number;
  of(account: Account): IterableIterator<Virtual>;
  get(account: Account, resource: string): Virtual | undefined;
  /** Everything one component shows. */
  by(label: string): IterableIterator<Virtual>;
  put(virtual: Virtual): void;
  drop(virtual: Virtual): void;
}

export function shownPresences(): ShownPresences {
  const byAccount = new Map<Account, Map<string, Virtual>>();
  const byLabel = new Map<string, Set<Virtual>>();
  let size = 0;
  const nobody = new Map<string, Virtual>();

  function drop(virtual: Virtual): void {
    const resources = byAccount.get(virtual.account);
    if (resources?.get(virtual.resource) !== virtual) return;
    resources.delete(virtual.resource);
    if (resources.size === 0) byAccount.delete(virtual.account);
    byLabel.get(virtual.label)?.delete(virtual);
    size--;
  }

  return {
    get size() {
      return size;
    },
    of: (account) => (byAccount.get(account) ?? nobody).values(),
    get: (account, resource) => byAccount.get(account)?.get(resource),
    by: (label) => (byLabel.get(label) ?? new Set<Virtual>()).values(),
    put(virtual) {
      const resources = byAccount.get(virtual.account) ?? new Map<string, Virtual>();
      const before = resources.get(virtual.resource);
      if (before !== undefined) drop(before);
      byAccount.set(virtual.account, resources.set(virtual.resource, virtual));
      const own = byLabel.get(virtual.label) ?? new Set<Virtual>();
      byLabel.set(virtual.label, own.add(virtual));
      size++;
    },
    drop,
  };
}

/** The presence stanza for one reader; the text for each view is made once. */
export function rendererOf(names: Names, views: Views, virtual: Virtual): (view: string, to: string) => Xml {
  const seen = new Map<string, Xml>();
  return (view, to) => {
    let payload = seen.get(view);
    if (payload === undefined) {
      payload = rawXml(views.payload(virtual.payload, virtual.view, view));
      seen.set(view, payload);
    }
    return x("presence", { from: addressOf(names, virtual, view), to, "xml:lang": virtual.lang }, payload);
  };
}

export function endOf(names: Names, virtual: Pick<Virtual, "account" | "resource">, view: string, to: string): Xml {
  return x("presence", { from: addressOf(names, virtual, view), to, type: "unavailable" });
}

function addressOf(names: Names, { account, resource }: Pick<Virtual, "account" | "resource">, view: string): string {
  return names.absolute(`${account.name}@/${resource}`, view);
}
