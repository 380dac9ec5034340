/** The load generator: a process of its own that the bench tells what to do. */
import { passwordOf, userOf } from "./accounts.ts";
import { type Chat, type ChatResult, chat } from "./chat-load.ts";
import { type LoadClient, type LoadTarget, loadLogin } from "./load-client.ts";

export type LoadOrder =
  | {
      do: "login";
      target: LoadTarget;
      from: number;
      count: number;
      atOnce: number;
      streamManagement: boolean;
      presence: boolean;
    }
  | { do: "chat"; clients: number; inFlight: number; warmUpMs: number }
  | { do: "measured" }
  | { do: "finish" }
  | { do: "drop" };
export type LoadAnswer =
  | { done: "login"; seconds: number }
  | { done: "chat" }
  | ({ done: "measured"; closed: number } & Omit<ChatResult, "lost" | "doubled" | "disordered">)
  | ({ done: "finish" } & Pick<ChatResult, "lost" | "doubled" | "disordered">)
  | { done: "drop" }
  | { done: "failed"; why: string };

const clients: LoadClient[] = [];
let running: Chat | undefined;
let closed = 0;
let dropping = false;

async function obey(order: LoadOrder): Promise<LoadAnswer> {
  switch (order.do) {
    case "login": {
      const begun = performance.now();
      let next = order.from;
      const worker = async (): Promise<void> => {
        while (next < order.from + order.count) {
          const index = next++;
          const { streamManagement, presence } = order;
          const who = { index, user: userOf(index), password: passwordOf(index), streamManagement, presence };
          const client = await loadLogin(order.target, who);
          clients[index] = client;
          void client.closed.then(() => {
            if (!dropping) closed++;
          });
        }
      };
      await Promise.all(Array.from({ length: order.atOnce }, worker));
      return { done: "login", seconds: (performance.now() - begun) / 1000 };
    }
    case "chat":
      running = chat(clients.slice(0, order.clients), order.inFlight);
      running.start();
      await new Promise((resolve) => setTimeout(resolve, order.warmUpMs));
      running.measure();
      return { done: "chat" };
    case "measured":
      if (running === undefined) throw new Error("no chat is running");
      return { done: "measured", closed, ...running.measured() };
    case "finish":
      if (running === undefined) throw new Error("no chat is running");
      return { done: "finish", ...(await running.finish()) };
    case "drop": {
      dropping = true;
      for (const client of clients) client?.socket.destroy();
      await Promise.all(clients.map((client) => client?.closed));
      clients.length = 0;
      running = undefined;
      closed = 0;
      dropping = false;
      return { done: "drop" };
    }
  }
}

process.on("message", (order: LoadOrder) => {
  obey(order).then(
    (answer) => process.send?.(answer),
    (error: unknown) => process.send?.({ done: "failed", why: error instanceof Error ? error.message : String(error) }),
  );
});
process.on("disconnect", () => process.exit());
