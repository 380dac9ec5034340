/** Passwords that a store holds in clear, on their way to keys. */
import { wantedIterations } from "../credentials.ts";
import { foldName } from "../desired/accounts.ts";
import type { PasswordKeys } from "./password-keys.ts";

export interface ClearPassword {
  readonly name: string;
  readonly password: string;
}

type People = {
  readonly settings: ReadonlyMap<string, string>;
  readonly users: readonly { readonly name: string; readonly password?: string }[];
};

export function clearPasswordsOf({ users }: Pick<People, "users">): ClearPassword[] {
  return users.flatMap(({ name, password }) => (password === undefined ? [] : [{ name, password }]));
}

/** Derives at most `batch` new ones, the admin's first; gives how many are left. */
export async function derivePasswords(
  people: People,
  keys: PasswordKeys,
  batch: number,
  onProgress: ((done: number, of: number) => void) | undefined,
): Promise<number> {
  const admin = foldName(people.settings.get("sys.xmpp.adminuser")?.trim() || "admin");
  const fresh = clearPasswordsOf(people).filter(
    ({ name, password }) => !keys.known(name, password) && !keys.unusable(name, password),
  );
  fresh.sort((a, b) => Number(foldName(b.name) === admin) - Number(foldName(a.name) === admin));
  const now = fresh.slice(0, batch);
  await keys.derive(now, {
    iterations: wantedIterations(people.settings),
    ...(onProgress ? { onDone: (done: number) => onProgress(done, fresh.length) } : {}),
  });
  return fresh.length - now.length;
}
