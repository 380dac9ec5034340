import { property } from "../../properties/property.ts";
import { enumeration } from "../../properties/text-schema.ts";
import type { ConfigField, RoomExtension, RoomFeature } from "./extensions.ts";
import type { RoomConfig } from "./room.ts";

const preset = property("firekeeper.muc.preset", {
  schema: enumeration("none", "ad-hoc"),
  default: "none",
  impact: "live",
  doc: "What new rooms are from the start: ad-hoc makes them conversations, for members only, where every participant invites and newcomers see nothing older.",
});

/** For whom the past of a room is. */
export const historyField: ConfigField = {
  field: {
    name: "firekeeper#history",
    type: "list-single",
    label: "Who sees what was said before",
    values: ["all"],
    options: [
      { label: "Everybody who may come in", value: "all" },
      { label: "Those who belonged to the room at that time", value: "membership" },
    ],
  },
  check: ([value = ""]) => (["all", "membership"].includes(value) ? undefined : "Choose all or membership."),
};

const presetField: ConfigField = {
  field: {
    name: "firekeeper#preset",
    type: "list-single",
    label: "Kind of room",
    values: [""],
    options: [
      { label: "As set below", value: "" },
      { label: "Conversation: invited people only, everybody invites, newcomers see nothing older", value: "ad-hoc" },
    ],
  },
  check: ([value = ""]) => (["", "ad-hoc"].includes(value) ? undefined : 'Choose "ad-hoc", or leave it empty.'),
};

const chosen = (config: RoomConfig | undefined): string => config?.extra.get(presetField.field.name)?.[0] ?? "";

function adHoc(config: RoomConfig): RoomConfig {
  const extra = new Map(config.extra);
  extra.set(presetField.field.name, ["ad-hoc"]);
  extra.set(historyField.field.name, ["membership"]);
  // Those who talk to each other are people, not nicks: everybody sees who is who, as in the dialogue it came from.
  return { ...config, membersOnly: true, allowInvites: true, public: false, persistent: true, whois: "anyone", extra };
}

/** A kind of room that sets several fields at once: the conversation that several people have as two have theirs. */
export const roomPresets: RoomFeature = {
  name: "room-presets",
  properties: [preset],
  start: (core): RoomExtension => ({
    configFields: [presetField],
    shapeConfig(config, before) {
      if (before === undefined) return core.properties.get(preset) === "ad-hoc" ? adHoc(config) : config;
      // Chosen anew, it sets its fields; afterwards each may be changed by itself.
      return chosen(config) === "ad-hoc" && chosen(before) !== "ad-hoc" ? adHoc(config) : config;
    },
  }),
};
