/** One issue: its title and properties, its comments, who looks at it and who writes. */

import { useConnection, useRoomState, useTyping } from "@roomcast/client/react";
import { useEffect, useRef, useState, type FormEvent } from "react";

import { nameOf, type Person } from "../person.js";
import type { Change } from "../server.js";
import { foldDiscussion, PRIORITIES, STATUSES, type Issue, type Priority, type Status } from "../state.js";
import { LONGEST_TITLE } from "./board.js";
import { Avatar, PRIORITY_NAMES, STATUS_NAMES } from "./pieces.js";

/** As many letters as the back end takes. */
const LONGEST_COMMENT = 1000;

interface Shown {
  readonly person: Person;
  readonly issue: Issue;
  /** Who else looks at it. */
  readonly watching: readonly string[];
  run(task: () => Promise<void>): void;
  onBack(): void;
}

export function IssueView({ person, issue, watching, run, onBack }: Shown) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  const change = (change: Change) => run(() => person.server.change(issue.id, change));
  return (
    <article className="issue" aria-label={issue.identifier}>
      <div className="line">
        <button type="button" onClick={onBack}>
          Back to the board
        </button>
        <span className="watching">
          {watching.map((id) => (
            <Avatar key={id} id={id} says="looks at it too" />
          ))}
          {watching.length > 0 && " looks at it too"}
        </span>
        <button type="button" className="delete" onClick={() => run(() => person.server.remove(issue.id))}>
          Delete
        </button>
      </div>
      <h3 ref={heading} tabIndex={-1}>
        <span className="identifier">{issue.identifier}</span> {issue.title}
      </h3>
      <Title title={issue.title} onSave={(title) => change({ title })} />
      <Properties person={person} issue={issue} onChange={change} />
      <Discussion person={person} issueId={issue.id} run={run} />
    </article>
  );
}

/** What is being written stays when somebody else changes the title meanwhile: whoever saves last decides. */
function Title({ title, onSave }: { title: string; onSave(title: string): void }) {
  const [draft, setDraft] = useState(title);
  const [known, setKnown] = useState(title);
  if (known !== title) {
    setKnown(title);
    if (draft === known) setDraft(title);
  }
  const save = (event: FormEvent) => {
    event.preventDefault();
    onSave(draft);
  };
  return (
    <form className="line" aria-label="Title" onSubmit={save}>
      <input aria-label="Title" value={draft} maxLength={LONGEST_TITLE} required onChange={(event) => setDraft(event.target.value)} />
      <button type="submit" disabled={draft.trim() === title}>
        Rename
      </button>
    </form>
  );
}

function Properties({ person, issue, onChange }: { person: Person; issue: Issue; onChange(change: Change): void }) {
  return (
    <div className="line properties">
      <label>
        Status
        <select value={issue.status} onChange={(event) => onChange({ status: event.target.value as Status })}>
          {STATUSES.map((status) => (
            <option key={status} value={status}>
              {STATUS_NAMES[status]}
            </option>
          ))}
        </select>
      </label>
      <label>
        Priority
        <select value={issue.priority} onChange={(event) => onChange({ priority: event.target.value as Priority })}>
          {PRIORITIES.map((priority) => (
            <option key={priority} value={priority}>
              {PRIORITY_NAMES[priority]}
            </option>
          ))}
        </select>
      </label>
      <label>
        Assignee
        <select value={issue.assigneeId ?? ""} onChange={(event) => onChange({ assigneeId: event.target.value || null })}>
          <option value="">Nobody</option>
          {person.config.people.map((id) => (
            <option key={id} value={id}>
              {nameOf(id)}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}

function Discussion({ person, issueId, run }: { person: Person; issueId: string; run(task: () => Promise<void>): void }) {
  const room = `issue:${issueId}` as const;
  const { state, error } = useRoomState(room, {
    load: ({ signal }) => person.server.discussion(issueId, signal),
    reduce: foldDiscussion,
  });
  const { users, start, stop } = useTyping(room);
  const { status } = useConnection();
  const [body, setBody] = useState("");
  let missing = "Loading the comments…";
  if (status !== "open") missing = "The comments are loaded when there is a connection.";
  else if (error) missing = "The comments cannot be loaded for now. It is tried again.";
  const send = (event: FormEvent) => {
    event.preventDefault();
    stop();
    run(async () => {
      await person.server.comment(issueId, body);
      setBody("");
    });
  };
  return (
    <>
      <ol className="discussion" aria-label="Comments">
        {state?.comments.map(({ id, userId, body }) => (
          <li key={id}>
            <Avatar id={userId} /> <p>{body}</p>
          </li>
        ))}
      </ol>
      {!state && <p className="empty">{missing}</p>}
      <p className="typing" aria-live="polite">
        {users.length > 0 && `${users.map(({ userId }) => nameOf(userId)).join(" and ")} ${users.length > 1 ? "are" : "is"} typing…`}
      </p>
      <form className="remark" aria-label="New comment" onSubmit={send}>
        <textarea
          aria-label="Comment"
          placeholder="Say something"
          rows={2}
          maxLength={LONGEST_COMMENT}
          required
          value={body}
          onInput={start}
          onChange={(event) => setBody(event.target.value)}
          onBlur={stop}
        />
        <button type="submit">Comment</button>
      </form>
    </>
  );
}
