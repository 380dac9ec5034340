// Many more histories of a room than npm test has time for; fast-check prints the seed of one that fails.
process.env.FIREKEEPER_TEST_ROOM_HISTORIES ??= "300";
await import("../protocol/rooms-model.test.ts");
