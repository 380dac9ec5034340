import { property } from "../../properties/property.ts";
import { boolean, integer, milliseconds } from "../../properties/text-schema.ts";

export const enabled = property("firekeeper.push.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether apps may have themselves called by their push service when something comes for them (XEP-0357).",
});

export const most = property("firekeeper.push.registrations", {
  schema: integer(1, 1000),
  default: 20,
  impact: "live",
  doc: "Apps of one person that may have themselves called; a further one takes the place of the oldest that is not logged in.",
});

export const interval = property("firekeeper.push.interval", {
  schema: milliseconds.min(0),
  default: 1000,
  impact: "live",
  doc: "Time between two calls of one app; messages that come meanwhile are told in one call.",
});

export const sender = property("firekeeper.push.sender", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether push services are told who wrote.",
  weakens: (on) => (on ? "Operators of push services see who writes to the people here." : undefined),
});

export const body = property("firekeeper.push.body", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether push services are told what was written.",
  weakens: (on) => (on ? "Operators of push services read what is written to the people here." : undefined),
});

export const giveUpAfter = property("firekeeper.push.give-up-after", {
  schema: integer(1, 1000),
  default: 3,
  impact: "live",
  doc: "Permanent errors of a push service in a row after which an app is no longer called, until its owner logs in again.",
});

export const hibernation = property("firekeeper.push.hibernation", {
  schema: milliseconds.min(0),
  default: 3 * 24 * 3600 * 1000,
  impact: "live",
  doc: "How long the session of an app that can be called is kept without a connection; 0: no longer than others.",
});

export const queueBytes = property("firekeeper.push.queue-bytes", {
  schema: integer(0, 16 * 1024 * 1024),
  default: 65_536,
  impact: "live",
  unit: "bytes",
  doc: "Bytes kept in memory for an app that can be called and has no connection; beyond them, messages are read from disk when it is back.",
});

export const pushProperties = [enabled, most, interval, sender, body, giveUpAfter, hibernation, queueBytes] as const;
