/** The little of @xmpp/client that the tests use; the package has no types of its own. */
declare module "@xmpp/client" {
  import type { Element } from "ltx";

  export type Entity = {
    on(event: "stanza", listener: (stanza: Element) => void): void;
    on(event: "online", listener: (address: unknown) => void): void;
    on(event: "error", listener: (error: Error) => void): void;
    on(event: "disconnect" | "input" | "output" | "send" | "element", listener: (detail: unknown) => void): void;
    start(): Promise<unknown>;
    stop(): Promise<unknown>;
    send(stanza: Element): Promise<void>;
    readonly iqCaller: { request(stanza: Element): Promise<Element> };
    readonly iqCallee: {
      set(namespace: string, name: string, answer: (context: { element: Element }) => unknown): void;
    };
    once(event: "disconnect", listener: (detail: unknown) => void): void;
    /** ms that each step of opening a stream may take. */
    timeout: number;
    readonly reconnect: { stop(): void; reconnect(): Promise<void>; delay: number };
    readonly streamManagement: { once(event: "resumed", listener: (detail: unknown) => void): void };
  };
  export function client(options: { service: string; domain: string; username: string; password: string }): Entity;
  export function xml(name: string, attributes?: Record<string, string>, ...children: (Element | string)[]): Element;
}
