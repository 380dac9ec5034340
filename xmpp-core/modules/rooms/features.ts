import { roomArchive } from "./archive.ts";
import { roomAvatars } from "./avatars.ts";
import type { RoomFeature } from "./extensions.ts";
import { roomHats } from "./hats.ts";
import { roomModeration } from "./moderation.ts";
import { roomPresets } from "./presets.ts";
import { roomPublicLog } from "./public-log.ts";
import { roomRegistration } from "./registration.ts";
import { roomSearch } from "./search.ts";
import { roomServices } from "./services.ts";
import { roomSlowMode } from "./slow-mode.ts";
import { testRoom } from "./test-room.ts";

/** The features of rooms beyond the engine, in the order in which their hooks run. */
export const roomFeatures: readonly RoomFeature[] = [
  roomServices,
  roomArchive,
  roomPresets,
  roomPublicLog,
  roomModeration,
  roomRegistration,
  roomAvatars,
  roomHats,
  roomSlowMode,
  roomSearch,
  testRoom,
];
