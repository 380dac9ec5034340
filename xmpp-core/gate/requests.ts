import type { Answer, Failure, Request } from "../frames.ts";
import { GateFailure } from "./failure.ts";
import type { Listeners } from "./listeners.ts";
import { loadContexts, type SecureContexts } from "./secure-contexts.ts";

/** What a core asks of the gate: listeners, certificates, a successor. */
export class Requests {
  readonly #listeners: Listeners;
  readonly #prepareSuccessor: (() => Promise<void>) | undefined;
  #contexts: SecureContexts | undefined;
  #asked = new Set<string>();
  #prepared = new Set<string>();

  constructor(listeners: Listeners, prepareSuccessor: (() => Promise<void>) | undefined) {
    this.#listeners = listeners;
    this.#prepareSuccessor = prepareSuccessor;
  }

  /** The certificates that were last given; they outlive the core that gave them. */
  get contexts(): SecureContexts | undefined {
    return this.#contexts;
  }

  /** Another core: it has asked for no listener yet. */
  begin(): void {
    this.#asked = new Set();
  }

  /** Closes the listeners of a core before that this one has not asked for. */
  closeUnasked(): void {
    for (const name of this.#listeners.names()) if (!this.#asked.has(name)) this.#listeners.close(name);
  }

  /** Never throws: a failure is an answer. */
  async answer(request: Request): Promise<Answer> {
    try {
      return { id: request.id, ...(await this.#fulfil(request)) };
    } catch (error) {
      return { id: request.id, failure: asFailure(error) };
    }
  }

  async #fulfil(request: Request): Promise<Omit<Answer, "id">> {
    switch (request.do) {
      case "prepare": {
        this.#prepared = new Set(request.specs.map(({ name }) => name));
        return { bound: await this.#listeners.prepare(request.specs, request.without) };
      }
      case "switch":
        this.#listeners.switch();
        for (const name of this.#prepared) this.#asked.add(name);
        return {};
      case "cancel":
        await this.#listeners.cancel();
        return {};
      case "certificates":
        this.#contexts = loadContexts(request.set);
        return {};
      case "succeed":
        await this.#prepareSuccessor?.();
        return {};
    }
  }
}

function asFailure(error: unknown): Failure {
  if (error instanceof GateFailure) return error.failure;
  const message = error instanceof Error ? error.message : String(error);
  return {
    code: "gate/request-failed",
    message: `The gate could not do that: ${message}.`,
    fields: {},
    hint: "See its log.",
  };
}
