import { archive } from "./archive.ts";
import { blocking } from "./blocking.ts";
import { carbons } from "./carbons.ts";
import { disco } from "./disco.ts";
import { entityTime } from "./entity-time.ts";
import { legacySession } from "./legacy-session.ts";
import type { Module } from "./module.ts";
import { offline } from "./offline.ts";
import { ping } from "./ping.ts";
import { privateStorage } from "./private-storage.ts";
import { softwareVersion } from "./software-version.ts";
import { vcard } from "./vcard.ts";

const capabilities: readonly Module[] = [
  legacySession,
  ping,
  softwareVersion,
  entityTime,
  archive,
  offline,
  carbons,
  blocking,
  vcard,
  privateStorage,
];

/** Every capability of the server; features, tables, properties and docs follow from the declarations. */
export const allModules: readonly Module[] = [...capabilities, disco(capabilities)];
