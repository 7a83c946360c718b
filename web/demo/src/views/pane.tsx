/**
 * One person's page: the board, or one issue of it, and above it who is here and how the connection is.
 *
 * Owns which issue is open, which the others see, and the words of what has failed.
 */

import { useRoomState, usePresence } from "@roomcast/client/react";
import { useCallback, useState } from "react";

import type { Person } from "../person.js";
import { Failure } from "../server.js";
import { foldBoard } from "../state.js";
import { BoardView } from "./board.js";
import { Badge, DiaryStrip, Disturbances, useDiaryOf } from "./connection.js";
import { IssueView } from "./issue.js";
import { Avatar } from "./pieces.js";

/** What each says of itself to the others: which issue it looks at. */
interface Looking {
  readonly issue: string | null;
}

export function Pane({ person, isAlone }: { person: Person; isAlone: boolean }) {
  const { server, diary, config } = person;
  const room = `team:${config.team}` as const;
  const [open, setOpen] = useState<string | null>(null);
  const [error, setError] = useState<string>();

  useDiaryOf(person, room);
  const { state: board, error: loadError } = useRoomState(room, {
    async load({ signal }) {
      const loaded = await server.board(signal);
      diary.write(`loaded the board: ${loaded.issues.length} issues, as of change ${loaded.revision}`, "busy");
      return loaded;
    },
    reduce: foldBoard,
  });
  const { members } = usePresence(room, { data: { issue: open } satisfies Looking });
  const watching = (issue: string) =>
    members.filter(({ userId, data }) => userId !== person.id && (data as Looking | null)?.issue === issue).map(({ userId }) => userId);

  const run = useCallback((task: () => Promise<void>) => {
    task().then(
      () => setError(undefined),
      (reason: unknown) => setError(reason instanceof Failure ? reason.message : String(reason)),
    );
  }, []);
  const back = () => {
    const left = open;
    setOpen(null);
    // Whoever came by keyboard goes on where it was.
    requestAnimationFrame(() => document.getElementById(`${person.id}-${left}`)?.focus());
  };

  const issue = board?.issues.find(({ id }) => id === open);
  return (
    <>
      <header className="who">
        <h2>
          <Avatar id={person.id} /> {person.name}
        </h2>
        <Badge person={person} />
        <div className="present" role="group" aria-label="Here">
          {members.map(({ userId }) => (
            <Avatar key={userId} id={userId} says="is here" />
          ))}
        </div>
        {!isAlone && (
          <a className="own" href={`/?person=${person.id}`} target="_blank" rel="noreferrer">
            In a window alone
          </a>
        )}
      </header>
      <Disturbances person={person} run={run} />
      <DiaryStrip person={person} />
      {error && (
        <p className="error" role="alert">
          {error}
          <button type="button" onClick={() => setError(undefined)}>
            Dismiss
          </button>
        </p>
      )}
      {!board && <p className="empty">{loadError ? "The board cannot be loaded for now. It is tried again." : "Loading the board…"}</p>}
      {board && open === null && <BoardView person={person} board={board} watching={watching} run={run} onOpen={setOpen} />}
      {board && open !== null && !issue && (
        <div className="empty">
          <p>This issue was deleted.</p>
          <button type="button" onClick={back} autoFocus>
            Back to the board
          </button>
        </div>
      )}
      {issue && <IssueView key={issue.id} person={person} issue={issue} watching={watching(issue.id)} run={run} onBack={back} />}
    </>
  );
}
