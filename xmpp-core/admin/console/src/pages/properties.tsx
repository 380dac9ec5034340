import { useState } from "preact/hooks";
import { type Property, post, type Refused } from "../api.ts";
import { Alert, Badge, Card, Loading, Refusal, Sentences } from "../parts.tsx";
import { useAnswer } from "../use-answer.ts";
import { useSpeech } from "../words.ts";

export function Properties() {
  const { say } = useSpeech();
  const { answer, refused, reload } = useAnswer("/api/properties");
  const [search, look] = useState("");
  const [open, setOpen] = useState("");
  const [saved, setSaved] = useState<{ key: string; done: readonly string[] } | undefined>();
  if (answer === undefined) return refused === undefined ? <Loading /> : <Refusal refused={refused} />;
  const wanted = search.trim().toLowerCase();
  const found = answer.properties.filter((each) => `${each.key} ${each.doc ?? ""}`.toLowerCase().includes(wanted));
  const change = (key: string, done: readonly string[]): void => {
    setOpen("");
    setSaved({ key, done });
    reload();
  };
  const field = (
    <input
      class="form-control form-control-sm"
      type="search"
      aria-label={say("search")}
      placeholder={say("search")}
      value={search}
      onInput={(event) => look(event.currentTarget.value)}
    />
  );
  return (
    <div class="stack">
      <Refusal refused={refused} />
      {saved !== undefined && (
        <Alert tone="success" title={say("saved", { key: saved.key })}>
          {saved.done.length > 0 ? <Sentences list={saved.done} /> : undefined}
        </Alert>
      )}
      <Card title={say("properties")} aside={field} flush>
        <ul class="list-group list-group-flush">
          {found.map((each) => (
            <li key={each.key} class="list-group-item property">
              <Shown
                property={each}
                isOpen={open === each.key}
                onOpen={() => setOpen(open === each.key ? "" : each.key)}
              />
              {open === each.key && <Form property={each} onSaved={change} onCancel={() => setOpen("")} />}
            </li>
          ))}
        </ul>
      </Card>
      <Another onSaved={change} />
    </div>
  );
}

const ownerTones = { host: "azure", local: "green", default: "secondary" } as const;

function Shown({ property, isOpen, onOpen }: { property: Property; isOpen: boolean; onOpen: () => void }) {
  const { say } = useSpeech();
  const owner = property.owner ?? "default";
  return (
    <div class="property-head">
      <div>
        <code class="property-key">{property.key}</code> <Badge tone={ownerTones[owner]}>{say(`owner_${owner}`)}</Badge>
        {property.doc !== undefined && <div class="text-secondary small">{property.doc}</div>}
        {property.notes.map((note) => (
          <div key={note} class="text-secondary small">
            {note}
          </div>
        ))}
        {property.weakens !== undefined && <div class="text-warning small">{property.weakens}</div>}
      </div>
      <div class="property-value">
        <span class="break">{property.secret ? say("secret") : property.value || <em>{say("unset")}</em>}</span>
        <button
          type="button"
          class="btn btn-sm"
          aria-expanded={isOpen}
          aria-label={`${say("edit")} ${property.key}`}
          onClick={onOpen}
        >
          {say("edit")}
        </button>
      </div>
    </div>
  );
}

type Saved = (key: string, done: readonly string[]) => void;

function Form({ property, onSaved, onCancel }: { property: Property; onSaved: Saved; onCancel: () => void }) {
  const { say } = useSpeech();
  const [value, setValue] = useState(property.value ?? "");
  const [failed, fail] = useState<Refused | undefined>();
  const send = (next: string | null): void => {
    post<{ done: readonly string[] }>("/api/properties", { key: property.key, value: next }).then(
      ({ done }) => onSaved(property.key, done),
      fail,
    );
  };
  if (property.owner === "host")
    return (
      <p class="property-form text-secondary mb-0" role="status">
        {say("ownedBy", { path: property.path ?? "" })}
      </p>
    );
  const options = property.options ?? (property.type === "boolean" ? ["true", "false"] : undefined);
  const id = `value-${property.key}`;
  return (
    <form
      class="property-form"
      onSubmit={(event) => {
        event.preventDefault();
        send(value);
      }}
    >
      <Refusal refused={failed} />
      <label class="form-label" for={id}>
        {say("value")} {property.unit !== undefined && <span class="text-secondary">({property.unit})</span>}
      </label>
      {options === undefined ? (
        <input
          class="form-control"
          id={id}
          type={(property.secret ? "password" : "text") as "text"}
          autocomplete="off"
          spellcheck={false}
          value={value}
          aria-describedby={`${id}-rule`}
          onInput={(event) => setValue(event.currentTarget.value)}
        />
      ) : (
        <select
          class="form-select"
          id={id}
          value={value}
          aria-describedby={`${id}-rule`}
          onChange={(event) => setValue(event.currentTarget.value)}
        >
          {options.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      )}
      <small class="form-hint" id={`${id}-rule`}>
        {[property.rule, property.secret ? "" : say("defaultValue", { value: property.default || say("unset") })]
          .filter(Boolean)
          .join(" · ")}
      </small>
      <div class="btn-list mt-2">
        <button type="submit" class="btn btn-primary btn-sm">
          {say("save")}
        </button>
        {property.owner === "local" && (
          <button type="button" class="btn btn-sm" onClick={() => send(null)}>
            {say("reset")}
          </button>
        )}
        <button type="button" class="btn btn-sm btn-ghost-secondary" onClick={onCancel}>
          {say("cancel")}
        </button>
      </div>
    </form>
  );
}

/** Any other key: components and later releases may read it. */
function Another({ onSaved }: { onSaved: Saved }) {
  const { say } = useSpeech();
  const [failed, fail] = useState<Refused | undefined>();
  const set = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const given = new FormData(form);
    const key = String(given.get("key")).trim();
    post<{ done: readonly string[] }>("/api/properties", { key, value: String(given.get("value")) }).then(
      ({ done }) => {
        fail(undefined);
        form.reset();
        onSaved(key, done);
      },
      fail,
    );
  };
  return (
    <Card title={say("newProperty")}>
      <Refusal refused={failed} />
      <form class="another" onSubmit={set}>
        <input
          class="form-control"
          name="key"
          required
          aria-label={say("key")}
          placeholder={say("key")}
          autocomplete="off"
        />
        <input
          class="form-control"
          name="value"
          aria-label={say("value")}
          placeholder={say("value")}
          autocomplete="off"
        />
        <button type="submit" class="btn">
          {say("save")}
        </button>
      </form>
    </Card>
  );
}
