/** `firekeeper roles`: shared groups, supervisors and whatever else a role's types mean. */
import { Command } from "commander";
import { knownRoleTypes } from "../desired/roles.ts";
import { CodedError } from "../errors.ts";
import { editAndPrint, type StoreCommandParts, table } from "./store-command.ts";

interface Json {
  readonly json?: boolean;
}

export function rolesCommand(parts: StoreCommandParts): Command {
  const roles = new Command("roles").description("roles of the host file: shared groups, supervisors");

  roles
    .command("add")
    .description("add a role, or a type and members to one that exists")
    .argument("<type>", knownRoleTypes.join(", "))
    .argument("<name>", "name of the role; a group's name in contact lists")
    .argument("[members...]", "users, or the word all")
    .option("--json", "print JSON")
    .action(async (type: string, name: string, members: string[], options: Json) => {
      const all = members.includes("all");
      if (all && members.length > 1)
        throw new CodedError("command/bad-members", "Members are either all or names, not both.", {
          hint: `Say: firekeeper roles add ${type} ${JSON.stringify(name)} all.`,
        });
      const change = { kind: "role-add", type, name, members: all ? "all" : members } as const;
      await editAndPrint(parts, await parts.store(), change, options);
    });

  roles
    .command("remove")
    .description("remove a role with all its types")
    .argument("<name>")
    .option("--json", "print JSON")
    .action(async (name: string, options: Json) =>
      editAndPrint(parts, await parts.store(), { kind: "role-remove", name }, options),
    );

  const member = roles.command("member").description("members of a role");
  for (const [verb, kind] of [
    ["add", "role-member-add"],
    ["remove", "role-member-remove"],
  ] as const)
    member
      .command(verb)
      .argument("<role>")
      .argument("<members...>")
      .option("--json", "print JSON")
      .action(async (role: string, members: string[], options: Json) =>
        editAndPrint(parts, await parts.store(), { kind, role, members }, options),
      );

  roles
    .command("list")
    .description("list all roles with their types and members")
    .option("--json", "print JSON")
    .action(async (options: Json) => {
      const { roles: all } = await (await parts.store()).read();
      if (options.json) return parts.print(JSON.stringify(all));
      const rows = all.map((role) => [
        role.name,
        role.types.join(", "),
        role.members === "all" ? "all" : role.members.join(", "),
      ]);
      for (const line of table(["name", "types", "members"], rows)) parts.print(line);
    });

  return roles;
}
