/** Why somebody cannot log in, from the host store to the server: for `firekeeper doctor --login NAME`. docs/passwords.md. */
import type { LoginCheck } from "../xmpp-core/control/contract.ts";
import { foldName, mayLogIn } from "./desired/accounts.ts";
import { desired } from "./desired/desired.ts";
import { explain } from "./errors.ts";
import type { Parts } from "./reconcile.ts";
import type { User } from "./store/host-store.ts";

/**
 * Every check in the order in which a login meets it: first what the store says, then what the server does. With a
 * password the server tries it, as a login would. No check tells a password, a hash or a key.
 */
export async function checkLogin(
  { store, target, instance }: Pick<Parts, "store" | "target" | "instance">,
  asked: { readonly name: string; readonly password?: string | undefined },
): Promise<readonly LoginCheck[]> {
  const checks: LoginCheck[] = [];
  const name = asked.name.replace(/@.*$/, "");
  const snapshot = await store.read().catch(() => store.lastGood());
  if (snapshot === undefined) checks.push({ check: "store", ok: false, detail: `${store.describe()} cannot be read.` });
  else {
    const user = snapshot.users.find((one) => foldName(one.name) === foldName(name));
    checks.push(inStore(user, name, store.describe()));
    if (user) checks.push(password(user));
    const rejected = desired(snapshot, { instance }).rejections.find(
      ({ subject }) => subject.kind === "account" && foldName(subject.name) === foldName(name),
    );
    if (rejected)
      checks.push({ check: "plan", ok: false, detail: `${rejected.key} must be ${rejected.rule}. ${rejected.hint}` });
  }
  if (target.checkLogin === undefined) return checks;
  try {
    const { password: given } = asked;
    const asking = { name: asked.name, ...(given === undefined ? {} : { password: given }) };
    return [...checks, ...(await target.checkLogin(asking))];
  } catch (error) {
    return [...checks, { check: "server", ok: false, detail: explain(error) }];
  }
}

function inStore(user: User | undefined, name: string, store: string): LoginCheck {
  if (user === undefined) return { check: "store", ok: false, detail: `${store} has no user ${name}.` };
  if (!user.enabled) return { check: "store", ok: false, detail: `${user.name} is disabled in ${store}.` };
  return { check: "store", ok: true, detail: `${user.name} is in ${store}.` };
}

function password(user: User): LoginCheck {
  const { passwordFrom = "store", credentials, passwordHash, deriving } = user;
  const ok = mayLogIn({ ...user, enabled: true });
  const detail =
    passwordFrom !== "store"
      ? `The host leaves the password to ${passwordFrom}.`
      : credentials
        ? "The host gives SCRAM keys."
        : deriving
          ? "Keys of the password are still being made."
          : passwordHash
            ? "The host gives a hash."
            : "The host gives no password.";
  return { check: "store password", ok, detail };
}
