import { conversations } from "./conversations.ts";
import { converse } from "./converse.ts";
import { dino } from "./dino.ts";
import { gajim } from "./gajim.ts";
import type { Guide } from "./guide.ts";
import { pidgin } from "./pidgin.ts";
import { spark } from "./spark.ts";
import { thunderbird } from "./thunderbird.ts";

/** In the order in which they are shown unless the admin has another. */
const all: readonly Guide[] = [gajim, conversations, dino, thunderbird, pidgin, spark, converse];

export const guideNames = all.map(({ client }) => client);
export const guides: ReadonlyMap<string, Guide> = new Map(all.map((guide) => [guide.client, guide]));
