/** The board: a column for each status, and a form for what is new. Issues are moved by their buttons, or dragged. */

import { useState, type DragEvent, type FormEvent } from "react";

import type { Person } from "../person.js";
import { PRIORITIES, STATUSES, type Board, type Issue, type Priority, type Status } from "../state.js";
import { Avatar, PRIORITY_NAMES, STATUS_NAMES } from "./pieces.js";

/** What is dragged is an issue of this board, and no file or link. */
const DRAGGED = "application/x-roomcast-issue";

/** As many letters as the back end takes. */
export const LONGEST_TITLE = 120;

interface Shared {
  readonly person: Person;
  /** Who else looks at an issue. */
  watching(issue: string): readonly string[];
  run(task: () => Promise<void>): void;
  onOpen(issue: string): void;
}

export function BoardView({ board, ...shared }: Shared & { board: Board }) {
  return (
    <>
      <NewIssue {...shared} />
      <div className="columns">
        {STATUSES.map((status) => (
          <Column key={status} status={status} issues={board.issues.filter((issue) => issue.status === status)} {...shared} />
        ))}
      </div>
    </>
  );
}

function NewIssue({ person, run }: Shared) {
  const [title, setTitle] = useState("");
  const [priority, setPriority] = useState<Priority>("medium");
  const create = (event: FormEvent) => {
    event.preventDefault();
    run(async () => {
      await person.server.create(title, priority);
      setTitle("");
    });
  };
  return (
    <form className="new" aria-label="New issue" onSubmit={create}>
      <input
        aria-label="Title of the new issue"
        placeholder="What is to be done?"
        maxLength={LONGEST_TITLE}
        required
        value={title}
        onChange={(event) => setTitle(event.target.value)}
      />
      <select aria-label="Priority of the new issue" value={priority} onChange={(event) => setPriority(event.target.value as Priority)}>
        {PRIORITIES.map((one) => (
          <option key={one} value={one}>
            {PRIORITY_NAMES[one]}
          </option>
        ))}
      </select>
      <button type="submit">Create</button>
    </form>
  );
}

function Column({ status, issues, ...shared }: Shared & { status: Status; issues: readonly Issue[] }) {
  const [isOver, setOver] = useState(false);
  const drag = (event: DragEvent) => {
    if (!event.dataTransfer.types.includes(DRAGGED)) return;
    event.preventDefault();
    setOver(true);
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    const id = event.dataTransfer.getData(DRAGGED);
    // Dropped where it came from, it stays.
    if (id && !issues.some((issue) => issue.id === id)) shared.run(() => shared.person.server.change(id, { status }));
  };
  return (
    <section
      className={isOver ? "column over" : "column"}
      aria-label={STATUS_NAMES[status]}
      onDragOver={drag}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <h3>
        {STATUS_NAMES[status]} <span className="count">{issues.length}</span>
      </h3>
      <ul>
        {issues.map((issue) => (
          <Card key={issue.id} issue={issue} {...shared} />
        ))}
      </ul>
    </section>
  );
}

function Card({ person, issue, watching, run, onOpen }: Shared & { issue: Issue }) {
  const { id, identifier, title, status, priority, assigneeId, comments, touched } = issue;
  const at = STATUSES.indexOf(status);
  const move = (to: Status) => run(() => person.server.change(id, { status: to }));
  return (
    <li
      className="card"
      draggable
      onDragStart={({ dataTransfer }) => {
        dataTransfer.setData(DRAGGED, id);
        dataTransfer.effectAllowed = "move";
      }}
    >
      {touched && <span key={touched} className="flash" aria-hidden="true" />}
      <button type="button" className="title" id={`${person.id}-${id}`} onClick={() => onOpen(id)}>
        <span className="identifier">{identifier}</span> {title}
      </button>
      <div className="facts">
        <span className={`priority ${priority}`}>{PRIORITY_NAMES[priority]}</span>
        {comments > 0 && <span className="comments">{comments === 1 ? "1 comment" : `${comments} comments`}</span>}
        {assigneeId && <Avatar id={assigneeId} says="has it" />}
        {watching(id).map((userId) => (
          <span key={userId} className="watching">
            <Avatar id={userId} says="looks at it" /> looks
          </span>
        ))}
        <span className="moves">
          <MoveButton identifier={identifier} to={STATUSES[at - 1]} arrow="←" onMove={move} />
          <MoveButton identifier={identifier} to={STATUSES[at + 1]} arrow="→" onMove={move} />
        </span>
      </div>
    </li>
  );
}

interface Move {
  readonly identifier: string;
  readonly to: Status | undefined;
  readonly arrow: string;
  onMove(to: Status): void;
}

function MoveButton({ identifier, to, arrow, onMove }: Move) {
  if (!to) return null;
  const words = `Move ${identifier} to ${STATUS_NAMES[to]}`;
  return (
    <button type="button" aria-label={words} title={words} onClick={() => onMove(to)}>
      {arrow}
    </button>
  );
}
