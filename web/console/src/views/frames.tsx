/** The frames of an identity's socket, as they are, in both directions; and a frame of one's own. */

import { useState } from "preact/hooks";

import type { Console } from "../console.js";
import type { Frame, Session } from "../session.js";
import { LogList } from "./log-list.js";
import { Alert, bytes, timeOf } from "./pieces.js";

const ARROWS = { up: ["↑", "sent"], down: ["↓", "received"], note: ["·", "socket"] } as const;

export function FramesPanel({ session }: { console: Console; session: Session }) {
  const [text, setText] = useState('{"type":"ping"}');
  const [error, setError] = useState("");
  return (
    <div class="stack">
      <LogList
        log={session.frames}
        name="frames"
        searched={({ text, direction }) => `${ARROWS[direction][1]} ${text}`}
        className={({ direction }) => `frame ${direction}`}
        line={line}
        empty="No frame has passed yet."
      />
      <form
        class="box send"
        aria-label="Send a frame"
        onSubmit={(event) => {
          event.preventDefault();
          setError(session.send(text) ? "" : "There is no open socket to send it on.");
        }}
      >
        <label class="grow">
          A frame of your own, sent as it stands
          <textarea class="mono" rows={2} required spellcheck={false} value={text} onInput={({ currentTarget }) => setText(currentTarget.value)} />
        </label>
        <button class="primary">Send</button>
        <Alert>{error}</Alert>
      </form>
    </div>
  );
}

function line({ at, text, direction }: Frame) {
  const [arrow, meaning] = ARROWS[direction];
  return (
    <>
      <time class="at">{timeOf(at)}</time>
      <span class="arrow" aria-label={meaning}>
        {arrow}
      </span>
      <span class="text">{text.slice(0, 300)}</span>
      <span class="latency">{direction === "note" ? "" : bytes(text.length)}</span>
    </>
  );
}
