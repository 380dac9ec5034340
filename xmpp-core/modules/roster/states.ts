/** Subscription states of one side and how presence stanzas change them. RFC 6121 appendix A. */

export type Subscription = "none" | "to" | "from" | "both";
export type SubscriptionKind = "subscribe" | "subscribed" | "unsubscribe" | "unsubscribed";

/** `out`: the user asked and waits for the contact; `in`: the contact asked and waits for the user. */
export type State = "none" | "none+out" | "none+in" | "none+out+in" | "to" | "to+in" | "from" | "from+out" | "both";

type Changes = Readonly<Partial<Record<State, State>>>;

/**
 * What the user sends, by appendix A.2. A state that is not named stays. Asking and ceasing is always passed on to the
 * contact, an answer only if it changes something.
 */
export const outboundChanges: Readonly<Record<SubscriptionKind, Changes>> = {
  subscribe: { none: "none+out", "none+in": "none+out+in", from: "from+out" },
  unsubscribe: {
    "none+out": "none",
    "none+out+in": "none+in",
    to: "none",
    "to+in": "none+in",
    "from+out": "from",
    both: "from",
  },
  subscribed: { "none+in": "from", "none+out+in": "from+out", "to+in": "both" },
  unsubscribed: {
    "none+in": "none",
    "none+out+in": "none+out",
    "to+in": "to",
    from: "none",
    "from+out": "none+out",
    both: "to",
  },
};

/** What comes from the contact, by appendix A.3. A state that is not named stays, and the user hears nothing. */
export const inboundChanges: Readonly<Record<SubscriptionKind, Changes>> = {
  subscribe: { none: "none+in", "none+out": "none+out+in", to: "to+in" },
  unsubscribe: {
    "none+in": "none",
    "none+out+in": "none+out",
    "to+in": "to",
    from: "none",
    "from+out": "none+out",
    both: "to",
  },
  subscribed: { "none+out": "to", "none+out+in": "to+in", "from+out": "both" },
  unsubscribed: {
    "none+out": "none",
    "none+out+in": "none+in",
    to: "none",
    "to+in": "none+in",
    "from+out": "from",
    both: "from",
  },
};

export interface Standing {
  readonly subscription: Subscription;
  readonly pendingOut: boolean;
  readonly pendingIn: boolean;
}

/** `stateOf({ subscription: "from", pendingOut: true, pendingIn: false })` is `"from+out"`. */
export function stateOf(standing: Standing): State {
  const { subscription, pendingOut, pendingIn } = standing;
  if (subscription === "none") return `none${pendingOut ? "+out" : ""}${pendingIn ? "+in" : ""}`;
  if (subscription === "to") return pendingIn ? "to+in" : "to";
  if (subscription === "from") return pendingOut ? "from+out" : "from";
  return "both";
}

export function standingOf(state: State): Standing {
  const [subscription, ...pending] = state.split("+");
  return {
    subscription: subscription as Subscription,
    pendingOut: pending.includes("out"),
    pendingIn: pending.includes("in"),
  };
}
