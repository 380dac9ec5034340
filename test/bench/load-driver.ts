import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { LoadAnswer, LoadOrder } from "./load.ts";

type AnswerTo<O extends LoadOrder> = Extract<LoadAnswer, { done: O["do"] }>;

/** The load generator's process as the bench sees it: one order at a time. */
export type LoadGenerator = {
  readonly pid: number;
  order<O extends LoadOrder>(order: O): Promise<AnswerTo<O>>;
  stop(): void;
};

/** Starts a load generator. */
export function startLoad(): LoadGenerator {
  const child = fork(fileURLToPath(new URL("load.ts", import.meta.url)), { stdio: "inherit" });
  return {
    pid: child.pid ?? -1,
    order<O extends LoadOrder>(order: O) {
      return new Promise<AnswerTo<O>>((resolve, reject) => {
        const ended = (): void => reject(new Error("the load generator ended"));
        child.once("exit", ended);
        child.once("message", (answer: LoadAnswer) => {
          child.off("exit", ended);
          if (answer.done === "failed") reject(new Error(answer.why));
          else resolve(answer as AnswerTo<O>);
        });
        child.send(order);
      });
    },
    stop() {
      child.kill();
    },
  };
}
