/** People over WebSocket, BOSH and TCP who chat with each other while the server's processes are replaced and killed. docs/web.md */
import { afterEach, expect, test } from "vitest";
import { startService } from "../support/processes.ts";
import { Crowd, crowdUsers } from "./crowd.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

test("six people chat through an orderly restart without a break, and through a kill with what stream management keeps", async () => {
  const service = await startService({ host: { users: await crowdUsers(6) } });
  closing.push(() => service.stop());
  // Each way in once with stream management and once without.
  const crowd = await Crowd.gather(service, 6, (number) => (["websocket", "bosh", undefined] as const)[number % 3]);
  closing.push(() => crowd.leave());
  crowd.chat();
  await crowd.progress(5);
  await service.run(["restart"]);
  await crowd.progress(5);
  crowd.undisturbed();

  const gate = service.pid("gate");
  await service.kill("core");
  await crowd.dropped();
  await service.served();
  await crowd.comeBack();
  crowd.chat();
  await crowd.settle("managed");
  expect(service.pid("gate")).toBe(gate);
}, 120_000);
