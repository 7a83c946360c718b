/** Publishing: a form from the schema of the chosen event, and the `curl` that does the same. */

import { EVENT_TYPES } from "@roomcast/client/schema";
import { useEffect, useState } from "preact/hooks";

import { call, CallError, words } from "../api.js";
import type { Console } from "../console.js";
import { curlOf } from "../curl.js";
import { exampleOf, fieldsOf, payloadOf, payloadSchema, type Field, type Schema, type Typed } from "../fields.js";
import type { Session } from "../session.js";
import { Alert, Copy, Prose } from "./pieces.js";

/** The type that is typed instead of chosen. */
const OWN = "own";

interface Body {
  readonly type: string;
  readonly payload: unknown;
  readonly rooms?: readonly string[];
}

/** The schema, asked for once. */
let schema: Promise<Schema> | undefined;

function useSchema(): { bundle: Schema | undefined; error: string } {
  const [bundle, setBundle] = useState<Schema>();
  const [error, setError] = useState("");
  useEffect(() => {
    schema ??= call<Schema>("GET", "/schema/schema.json");
    schema.then(setBundle, (reason) => {
      schema = undefined;
      setError(words(reason));
    });
  }, []);
  return { bundle, error };
}

export function PublishPanel({ console, session }: { console: Console; session: Session }) {
  const { bundle, error } = useSchema();
  if (!bundle) return <Alert>{error}</Alert>;
  return <Form console={console} session={session} bundle={bundle} />;
}

function Form({ console, session, bundle }: { console: Console; session: Session; bundle: Schema }) {
  const [choice, setChoice] = useState<string>(EVENT_TYPES[0]);
  const [own, setOwn] = useState("build.finished");
  const [typed, setTyped] = useState<Typed>({});
  const [rooms, setRooms] = useState("");
  const [outcome, setOutcome] = useState<{ answer?: string; error?: string; pointer?: string | undefined }>({});
  const [isTried, setIsTried] = useState(false);
  const type = choice === OWN ? own : choice;
  const fields = fieldsOf(bundle, payloadSchema(bundle, type));
  const { payload, wrong } = payloadOf(fields, typed);
  const named = rooms.split(/[\s,]+/).filter(Boolean);
  const body: Body = named.length ? { type, payload, rooms: named } : { type, payload };

  async function send() {
    setIsTried(true);
    const [first] = Object.keys(wrong);
    if (first) return document.getElementById(`field-${first}`)?.focus();
    try {
      setOutcome({ answer: JSON.stringify(await call("POST", "/api/v1/events", session.token(), body), null, 2) });
    } catch (error) {
      setOutcome({ error: words(error), pointer: error instanceof CallError ? error.pointer : undefined });
    }
  }

  const wrongOf = (name: string) => (isTried ? wrong[name] : undefined) ?? (outcome.pointer === `/payload/${name}` ? outcome.error : undefined);
  const examples = () => setTyped(Object.fromEntries(fields.filter(({ isRequired }) => isRequired).map((field) => [field.name, exampleOf(field, type)])));
  return (
    <div class="halves">
      <form
        class="box form"
        noValidate
        aria-label="Event"
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <div class="spread">
          <h2>Event</h2>
          <button type="button" class="small" onClick={examples}>
            Fill in an example
          </button>
        </div>
        <label>
          Type
          <select
            value={choice}
            onChange={({ currentTarget }) => {
              setChoice(currentTarget.value);
              setOutcome({});
              setIsTried(false);
            }}
          >
            {EVENT_TYPES.map((type) => (
              <option key={type}>{type}</option>
            ))}
            <option value={OWN}>a type of your own</option>
          </select>
        </label>
        {choice === OWN && (
          <label>
            Its name
            <input class="mono" required spellcheck={false} value={own} onInput={({ currentTarget }) => setOwn(currentTarget.value)} />
          </label>
        )}
        <div class="fields">
          {fields.map((field) => (
            <Input
              key={`${type} ${field.name}`}
              field={field}
              value={typed[field.name]}
              wrong={wrongOf(field.name)}
              set={(value) => setTyped({ ...typed, [field.name]: value })}
            />
          ))}
        </div>
        <label>
          Rooms <span class="quiet">{choice === OWN || choice === "notification.new" ? "required" : "empty: those that the event implies"}</span>
          <input class="mono" placeholder="team:demo, issue:issue_1" spellcheck={false} value={rooms} onInput={({ currentTarget }) => setRooms(currentTarget.value)} />
        </label>
        <button class="primary">Publish</button>
      </form>
      <div class="stack beside">
        <section class="box" aria-label="The same with curl">
          <div class="spread">
            <h2>The same with curl</h2>
            <Copy label="Copy" text={curlOf(`${console.publicUrl}/api/v1/events`, body)} />
          </div>
          <pre class="code" tabIndex={0}>
            {curlOf(`${console.publicUrl}/api/v1/events`, body)}
          </pre>
        </section>
        <section class="box" aria-label="Answer" aria-live="polite">
          <h2>Answer</h2>
          {outcome.error && <Alert>{outcome.error}</Alert>}
          {outcome.answer ? <pre class="code">{outcome.answer}</pre> : !outcome.error && <p class="quiet">Nothing was published yet.</p>}
        </section>
      </div>
    </div>
  );
}

interface InputProps {
  readonly field: Field;
  readonly value: string | boolean | undefined;
  readonly wrong: string | undefined;
  readonly set: (value: string | boolean) => void;
}

function Input({ field: { name, kind, isRequired, description }, value, wrong, set }: InputProps) {
  const id = `field-${name}`;
  const common = { id, "aria-invalid": wrong ? true : undefined, "aria-describedby": `${id}-about`, "aria-required": isRequired };
  const text = typeof value === "string" ? value : "";
  const change = ({ currentTarget }: { currentTarget: HTMLInputElement | HTMLTextAreaElement }) => set(currentTarget.value);
  return (
    <div class={kind === "boolean" ? "field check" : "field"}>
      <label for={id}>
        <span class="mono">{name}</span> {!isRequired && <span class="quiet">optional</span>}
      </label>
      {kind === "boolean" ? (
        <input {...common} type="checkbox" checked={value === true} onChange={({ currentTarget }) => set(currentTarget.checked)} />
      ) : kind === "json" ? (
        <textarea {...common} class="mono" rows={3} spellcheck={false} placeholder="JSON" value={text} onInput={change} />
      ) : kind === "number" ? (
        <input {...common} type="number" step="any" value={text} onInput={change} />
      ) : (
        <input {...common} spellcheck={false} autocomplete="off" value={text} onInput={change} />
      )}
      <span id={`${id}-about`} class={wrong ? "bad-text" : "quiet"}>
        {wrong ?? <Prose text={description} />}
      </span>
    </div>
  );
}
