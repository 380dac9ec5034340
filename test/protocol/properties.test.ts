import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { allProperties } from "../../xmpp-core/server.ts";
import { adminProofs } from "./properties-admin.ts";
import { moduleProofs } from "./properties-modules.ts";
import { streamProofs } from "./properties-streams.ts";
import { openWorld, type World } from "./properties-world.ts";

// DESIGN.md §5 "Properties": for each declared key, that changing it changes behaviour.
const proofs = { ...streamProofs, ...moduleProofs, ...adminProofs };

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterEach(() => world.reset());
afterAll(() => world.close());

test("every declared property has its proof here, and no proof is left of one that is gone", () => {
  const declared = allProperties().map(({ key }) => key);
  expect(Object.keys(proofs).sort(), "add a proof to test/protocol/properties-*.ts").toEqual(declared.sort());
});

test.each(Object.keys(proofs))("%s", (key) => proofs[key]?.(world));
