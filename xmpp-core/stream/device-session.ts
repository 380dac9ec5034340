import { z } from "zod";
import { sessionState } from "../routing/session-state.ts";

/** The device that a session was opened by, as auth/devices.ts calls it; empty: its client told none. */
export const deviceOf = sessionState("device", { schema: z.string(), initial: "" });
