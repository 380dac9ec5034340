import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { logIn, type Me, type Refused } from "../api.ts";
import { Flame, Refusal } from "../parts.tsx";
import { useSpeech } from "../words.ts";

/** @param why the reason that an earlier session ended */
export function Login({
  why,
  onEnter,
  tools,
}: {
  why: Refused | undefined;
  onEnter: (me: Me) => void;
  tools: ComponentChildren;
}) {
  const { say } = useSpeech();
  const [refused, refuse] = useState<Refused | undefined>();
  const [busy, setBusy] = useState(false);
  const enter = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    setBusy(true);
    refuse(undefined);
    logIn(String(form.get("user")), String(form.get("password")))
      .then(onEnter, refuse)
      .finally(() => setBusy(false));
  };
  const known = why === undefined || why.code === "admin/not-logged-in" ? undefined : why;
  return (
    <main class="page page-center login">
      <div class="container container-tight py-4">
        <div class="text-center mb-4">
          <Flame large />
          <h1 class="mt-2 mb-0">Firekeeper</h1>
        </div>
        <form class="card card-md" onSubmit={enter}>
          <div class="card-body">
            {why?.code === "admin/not-logged-in" && refused === undefined && (
              <p class="text-secondary" role="status">
                {say("loggedOut")}
              </p>
            )}
            <Refusal refused={refused ?? known} />
            <div class="mb-3">
              <label class="form-label" for="user">
                {say("name")}
              </label>
              <input
                class="form-control"
                id="user"
                name="user"
                autocomplete="username"
                autocapitalize="none"
                spellcheck={false}
                required
              />
            </div>
            <div class="mb-3">
              <label class="form-label" for="password">
                {say("password")}
              </label>
              <input
                class="form-control"
                id="password"
                name="password"
                type="password"
                autocomplete="current-password"
                aria-describedby="login-hint"
                required
              />
              <small class="form-hint mt-2" id="login-hint">
                {say("loginHint")}
              </small>
            </div>
            <button type="submit" class="btn btn-primary w-100" disabled={busy}>
              {busy && <span class="spinner-border spinner-border-sm me-2" aria-hidden="true" />}
              {say("logIn")}
            </button>
          </div>
        </form>
        <div class="login-tools">{tools}</div>
      </div>
    </main>
  );
}
