import { useState } from "preact/hooks";
import { type Change, type Outcome, post, type Refused, type ShownPlan } from "../api.ts";
import { Alert, Badge, Card, Loading, noticeText, Refusal, Sentences, type Tone } from "../parts.tsx";
import { useAnswer } from "../use-answer.ts";
import type { Word } from "../words/en.ts";
import { useSpeech } from "../words.ts";

export function Changes() {
  const { say } = useSpeech();
  const { answer: plan, refused, reload } = useAnswer("/api/plan");
  const [outcome, setOutcome] = useState<Outcome | undefined>();
  const [failed, fail] = useState<Refused | undefined>();
  if (plan === undefined) return refused === undefined ? <Loading /> : <Refusal refused={refused} />;
  const done = (applied: Outcome): void => {
    fail(undefined);
    setOutcome(applied);
    reload();
  };
  const notDone = (why: Refused): void => {
    setOutcome(undefined);
    fail(why);
    reload();
  };
  return (
    <div class="stack">
      <Refusal refused={failed ?? refused} />
      {outcome !== undefined && <Result outcome={outcome} />}
      <Plan key={plan.id} plan={plan} onDone={done} onFailed={notDone} onAgain={reload} />
      {plan.plan.rejected.length > 0 && (
        <Card title={say("rejected", { n: plan.plan.rejected.length })}>
          <p class="text-secondary">{say("rejectedHint")}</p>
          <dl class="rejected">
            {plan.plan.rejected.map((each) => (
              <div key={each.key}>
                <dt>
                  <code>
                    {each.key} = {each.value}
                  </code>
                </dt>
                <dd>
                  {say("mustBe", { rule: each.rule })} {each.hint}
                </dd>
              </div>
            ))}
          </dl>
        </Card>
      )}
      {plan.plan.notices.length > 0 && (
        <Card title={say("notices")}>
          <Sentences list={plan.plan.notices.map(noticeText)} />
        </Card>
      )}
    </div>
  );
}

function Result({ outcome }: { outcome: Outcome }) {
  const { say } = useSpeech();
  const applied = outcome.is === "applied";
  const title = applied ? say("applied", { n: outcome.revision ?? "" }) : say("outcome", { is: outcome.is });
  const more = [...(outcome.done ?? []), ...outcome.why];
  return (
    <Alert tone={applied ? "success" : "warning"} title={title}>
      {more.length > 0 ? <Sentences list={more} /> : undefined}
    </Alert>
  );
}

const scopes = ["all", "roster", "settings"] as const;

function Plan({
  plan,
  onDone,
  onFailed,
  onAgain,
}: {
  plan: ShownPlan;
  onDone: (outcome: Outcome) => void;
  onFailed: (why: Refused) => void;
  onAgain: () => void;
}) {
  const { say, name } = useSpeech();
  const [busy, setBusy] = useState(false);
  const [scope, setScope] = useState<(typeof scopes)[number]>("all");
  const [confirmed, confirm] = useState("");
  const { changes, impact } = plan.plan;
  const again = (
    <button type="button" class="btn btn-sm" onClick={onAgain} disabled={busy}>
      {say("planAgain")}
    </button>
  );
  if (changes.length === 0)
    return (
      <Card title={say("inStep")} aside={again}>
        <p class="text-secondary mb-0">{say("inStepHint")}</p>
      </Card>
    );
  const apply = (event: SubmitEvent): void => {
    event.preventDefault();
    setBusy(true);
    post<Outcome>("/api/apply", {
      plan: plan.id,
      ...(scope === "all" ? {} : { scope }),
      ...(plan.removals === undefined ? {} : { removals: plan.removals }),
    })
      .then(onDone, onFailed)
      .finally(() => setBusy(false));
  };
  // What to type at the command line helps nobody who sees the field for it.
  const why = plan.why.filter((each) => plan.removals === undefined || !each.includes("--removals"));
  const sure = plan.removals === undefined || confirmed.trim() === String(plan.removals);
  return (
    <Card title={changes.length === 1 ? say("plannedOne") : say("planned", { n: changes.length })} aside={again} flush>
      <div class={`impact impact-${impact}`}>{name("impact", impact)}</div>
      <ul class="list-group list-group-flush changes">
        {changes.map((each) => (
          <Line key={`${each.subject} ${each.action}`} change={each} />
        ))}
      </ul>
      <form class="card-footer apply" onSubmit={apply}>
        {why.length > 0 && (
          <div class="apply-why">
            <div class="subheader">{say("why")}</div>
            <Sentences list={why} />
          </div>
        )}
        {plan.removals !== undefined && (
          <div class="apply-removals">
            <label class="form-label" for="removals">
              {say("removals", { n: plan.removals })}
            </label>
            <input
              class="form-control"
              id="removals"
              inputMode="numeric"
              autocomplete="off"
              value={confirmed}
              onInput={(event) => confirm(event.currentTarget.value)}
            />
          </div>
        )}
        <div class="apply-do">
          <label class="visually-hidden" for="scope">
            {say("scope")}
          </label>
          <select
            class="form-select"
            id="scope"
            value={scope}
            disabled={busy}
            onChange={(event) => setScope(event.currentTarget.value as typeof scope)}
          >
            {scopes.map((each) => (
              <option key={each} value={each}>
                {say(`scope_${each}`)}
              </option>
            ))}
          </select>
          <button type="submit" class="btn btn-primary" disabled={busy || !sure}>
            {busy && <span class="spinner-border spinner-border-sm me-2" aria-hidden="true" />}
            {busy ? say("applying") : say("apply")}
          </button>
        </div>
      </form>
    </Card>
  );
}

const tones = { live: "green", listener: "azure", restart: "orange", migrate: "red" } as const satisfies Partial<
  Record<Word, Tone>
>;

/** One change: what, from what to what, where it comes from, and what it costs. */
export function Line({ change }: { change: Change }) {
  const { say, name } = useSpeech();
  const { subject, action, from, to, impact, source } = change;
  const known = impact in tones ? (impact as keyof typeof tones) : undefined;
  return (
    <li class="list-group-item change">
      <div>
        <strong>{subject}</strong> <span class="text-secondary">{action}</span>
        <div class="values">
          {from !== null && (
            <del>
              <span class="visually-hidden">{say("from")} </span>
              {from}
            </del>
          )}
          {to !== null && (
            <ins>
              <span class="visually-hidden">{say("to")} </span>
              {to}
            </ins>
          )}
        </div>
        <div class="text-secondary small">
          {say("source")} <code>{source}</code>
        </div>
      </div>
      <span title={name("impact", impact)}>
        <Badge tone={known === undefined ? "secondary" : tones[known]}>
          {known === undefined ? impact : say(known)}
        </Badge>
      </span>
    </li>
  );
}
