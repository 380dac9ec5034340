import type { RoomFeature } from "./extensions.ts";

/** The features of rooms beyond the engine, in the order in which their hooks run. */
export const roomFeatures: readonly RoomFeature[] = [];
