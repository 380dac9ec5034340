/** `firekeeper settings`: the dotted keys of the host file. */
import { Command } from "commander";
import { CodedError } from "../errors.ts";
import { nearestName } from "../store/nearest-name.ts";
import { editAndPrint, type StoreCommandParts, table } from "./store-command.ts";

interface Json {
  readonly json?: boolean;
}

export function settingsCommand(parts: StoreCommandParts): Command {
  const settings = new Command("settings").description("settings of the host file, by their full key");

  settings
    .command("set")
    .description("set a key")
    // Values such as -1 and -Xmx512m are no options.
    .allowUnknownOption()
    .argument("<key>", "such as sys.xmpp.domain or sys.xmpp.properties.xmpp.client.idle")
    .argument("<value>")
    .option("--json", "print JSON")
    .action(async (key: string, value: string, options: Json) =>
      editAndPrint(parts, await parts.store(), { kind: "setting-set", key, value }, options),
    );

  settings
    .command("unset")
    .description("remove a key: its default, or the server's own value, returns")
    .argument("<key>")
    .option("--json", "print JSON")
    .action(async (key: string, options: Json) =>
      editAndPrint(parts, await parts.store(), { kind: "setting-unset", key }, options),
    );

  settings
    .command("get")
    .description("print the value of a key")
    .argument("<key>")
    .option("--json", "print JSON")
    .action(async (key: string, options: Json) => {
      const all = new Map((await (await parts.store()).read()).settings);
      const value = all.get(key);
      if (value === undefined) {
        const meant = nearestName(key, all.keys());
        throw new CodedError("store/unknown-setting", `The host file does not set ${key}.`, {
          fields: { key },
          hint: meant ? `Did you mean ${meant}?` : "firekeeper settings list shows all keys.",
        });
      }
      parts.print(options.json ? JSON.stringify({ key, value }) : value);
    });

  settings
    .command("list")
    .description("list all keys with their values; secrets are masked")
    .option("--search <text>", "only keys that contain this text")
    .option("--json", "print JSON")
    .action(async (options: Json & { search?: string }) => {
      const { settings: all } = await (await parts.store()).read();
      const part = (options.search ?? "").toLowerCase();
      const found = all
        .filter(([key]) => key.toLowerCase().includes(part))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, value]): [string, string] => [key, isSecret(key) ? "********" : value]);
      if (options.json) return parts.print(JSON.stringify(found.map(([key, value]) => ({ key, value }))));
      for (const line of table(["key", "value"], found)) parts.print(line);
    });

  return settings;
}

/** The agent has no catalogue: what is named like a secret is one. `get` prints it to who asks for it by name. */
function isSecret(key: string): boolean {
  return /secret|passw|token|credential|\.key$/i.test(key);
}
