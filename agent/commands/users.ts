/** `firekeeper users`: people of the embedded store. */
import { Command } from "commander";
import { credentialsFrom, editAndPrint, type PasswordOptions, type StoreCommandParts, table } from "./store-command.ts";

interface Json {
  readonly json?: boolean;
}

type AddOptions = PasswordOptions & Json & { displayName?: string; email?: string; id?: string; alias?: string[] };

export function usersCommand(parts: StoreCommandParts): Command {
  const users = new Command("users").description("people of the host file");

  users
    .command("add")
    .description("add a user; without an option the password is asked for")
    .argument("<name>", "login name, without the domain")
    .option("--password-stdin", "read the password from standard input")
    .option("--generate", "make a password and print it")
    .option("--display-name <text>", "name as others see it")
    .option("--email <address>")
    .option("--id <id>", "stable key of the person: a changed name under it is a rename")
    .option("--alias <address...>", "further names, or addresses under a domain of sys.xmpp.aliasdomains")
    .option("--json", "print JSON")
    .action(async (name: string, options: AddOptions) => {
      const store = await parts.store();
      const { credentials, made } = await credentialsFrom(parts, store, name, options);
      const { displayName, email, id, alias } = options;
      await editAndPrint(
        parts,
        store,
        {
          kind: "user-add",
          name,
          ...(displayName === undefined ? {} : { displayName }),
          ...(email === undefined ? {} : { email }),
          ...(id === undefined ? {} : { id }),
          ...(alias === undefined ? {} : { aliases: alias }),
          credentials,
        },
        options,
        { password: made },
      );
    });

  users
    .command("passwd")
    .description("set a user's password; without an option it is asked for")
    .argument("<name>")
    .option("--password-stdin", "read the password from standard input")
    .option("--generate", "make a password and print it")
    .option("--json", "print JSON")
    .action(async (name: string, options: PasswordOptions & Json) => {
      const store = await parts.store();
      const { credentials, made } = await credentialsFrom(parts, store, name, options);
      await editAndPrint(parts, store, { kind: "user-credentials", name, credentials }, options, { password: made });
    });

  for (const [verb, enabled, description] of [
    ["disable", false, "end a user's sessions and let nobody log in as this user; data stays"],
    ["enable", true, "let a disabled user log in again"],
  ] as const)
    users
      .command(verb)
      .description(description)
      .argument("<name>")
      .option("--json", "print JSON")
      .action(async (name: string, options: Json) =>
        editAndPrint(parts, await parts.store(), { kind: "user-enabled", name, enabled }, options),
      );

  users
    .command("remove")
    .description("remove a user, also from all roles; data is kept for FIREKEEPER_KEEP_REMOVED days")
    .argument("<name>")
    .option("--json", "print JSON")
    .action(async (name: string, options: Json) =>
      editAndPrint(parts, await parts.store(), { kind: "user-remove", name }, options),
    );

  users
    .command("list")
    .description("list all users")
    .option("--json", "print JSON")
    .action(async (options: Json) => {
      const { users: all } = await (await parts.store()).read();
      if (options.json) return parts.print(JSON.stringify(all));
      const rows = all.map((user) => [user.name, user.displayName ?? "", user.email ?? "", state(user)]);
      for (const line of table(["name", "display name", "e-mail", "state"], rows)) parts.print(line);
    });

  return users;
}

function state(user: { enabled: boolean; hasPassword: boolean }): string {
  if (!user.enabled) return "disabled";
  return user.hasPassword ? "enabled" : "no password";
}
