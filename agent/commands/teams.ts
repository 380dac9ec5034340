/** `firekeeper teams`: queues and call groups of the host file, and which roles show them. docs/people.md. */
import { Command, Option } from "commander";
import { contactName } from "../desired/teams.ts";
import { editAndPrint, type StoreCommandParts, table } from "./store-command.ts";

interface Json {
  readonly json?: boolean;
}

export function teamsCommand(parts: StoreCommandParts): Command {
  const teams = new Command("teams").description("queues and call groups of the host file");

  teams
    .command("add")
    .description("add a team; nobody sees it until a role shows it")
    .argument("<id>", "stable id of the team")
    .argument("<name>", "name as contact lists show it")
    .argument("[members...]", "users")
    .option("--extension <number>", "shown behind the name")
    .addOption(new Option("--kind <kind>").choices(["queue", "callgroup"]).default("queue"))
    .option("--json", "print JSON")
    .action(
      async (
        id: string,
        name: string,
        members: string[],
        options: Json & { extension?: string; kind: "queue" | "callgroup" },
      ) => {
        const { extension, kind: type } = options;
        const more = extension === undefined ? {} : { extension };
        await editAndPrint(parts, await parts.store(), { kind: "team-add", id, name, type, ...more, members }, options);
      },
    );

  teams
    .command("remove")
    .description("remove a team, also from the roles that show it")
    .argument("<id>")
    .option("--json", "print JSON")
    .action(async (id: string, options: Json) =>
      editAndPrint(parts, await parts.store(), { kind: "team-remove", id }, options),
    );

  const member = teams.command("member").description("members of a team");
  for (const [verb, kind] of [
    ["add", "team-member-add"],
    ["remove", "team-member-remove"],
  ] as const)
    member
      .command(verb)
      .argument("<id>")
      .argument("<members...>")
      .option("--json", "print JSON")
      .action(async (team: string, members: string[], options: Json) =>
        editAndPrint(parts, await parts.store(), { kind, team, members }, options),
      );

  for (const [verb, kind, description] of [
    ["show", "role-team-add", "make a team a contact of a role's group"],
    ["hide", "role-team-remove", "take a team out of a role's group"],
  ] as const)
    teams
      .command(verb)
      .description(description)
      .argument("<role>")
      .argument("<id>")
      .option("--json", "print JSON")
      .action(async (role: string, team: string, options: Json) =>
        editAndPrint(parts, await parts.store(), { kind, role, team }, options),
      );

  teams
    .command("list")
    .description("list all teams with their members and the roles that show them")
    .option("--json", "print JSON")
    .action(async (options: Json) => {
      const { teams: all = [], roles } = await (await parts.store()).read();
      if (options.json) return parts.print(JSON.stringify(all));
      const rows = all.map(({ id, name, kind, extension = "", members }) => [
        ...[id, name, kind, extension, members.map(({ user }) => user).join(", "), contactName(id)],
        roles.flatMap((role) => (role.teams?.includes(id) ? [role.name] : [])).join(", "),
      ]);
      const headings = ["id", "name", "kind", "extension", "members", "contact", "shown by"];
      for (const line of table(headings, rows)) parts.print(line);
    });

  return teams;
}
