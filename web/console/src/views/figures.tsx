/** The node's live figures. */

import type { Figures } from "../answers.js";
import { span } from "../claims.js";
import type { Console } from "../console.js";
import type { Sample } from "../figures.js";
import type { Session } from "../session.js";
import { useStore } from "../store.js";
import { Alert, bytes, count, Empty } from "./pieces.js";

const CLOSED: Readonly<Record<string, string>> = {
  1000: "normal",
  1002: "protocol error",
  1006: "without a close frame",
  1007: "invalid UTF-8",
  1009: "message too large",
  1011: "internal error",
  1012: "service restart",
  4000: "slow consumer",
  4001: "heartbeat timeout",
  4002: "token expired",
  4003: "rate limited",
  4004: "rebalance",
  4500: "unauthorized",
  4501: "disconnected by the server",
  4502: "too many invalid messages",
};

/** The close code of those who read too slowly. */
const SLOW = "4000";

export function FiguresPanel({ console }: { console: Console }) {
  const samples = useStore(console.figures.samples);
  const error = useStore(console.figures.error);
  const sessions = useStore(console.sessions);
  const last = samples.at(-1);
  if (!console.admin()) return <NoAdmin />;
  return (
    <div class="stack">
      <Alert>{error}</Alert>
      {last ? <Board samples={samples} last={last} sessions={sessions} /> : <Empty>Waiting for the first figures.</Empty>}
    </div>
  );
}

export function NoAdmin() {
  return (
    <Empty>
      This needs an identity whose token grants <code>admin</code> on <code>*</code>. <a href="#identities">Choose one</a>.
    </Empty>
  );
}

function Board({ samples, last, sessions }: { samples: readonly Sample[]; last: Sample; sessions: readonly Session[] }) {
  const { figures, rates, roundTripMs } = last;
  const latencies = sessions.flatMap(({ latencies }) => latencies).sort((a, b) => a - b);
  const at = (share: number) => (latencies.length ? `${count(latencies[Math.floor((latencies.length - 1) * share)]!)} ms` : "no event yet");
  return (
    <>
      <section aria-label="Rates" class="tiles wide">
        <Rate name="Published" value={rates.published} total={figures.published} history={samples.slice(1).map(({ rates }) => rates.published)} />
        <Rate name="Delivered" value={rates.delivered} total={figures.delivered} history={samples.slice(1).map(({ rates }) => rates.delivered)} />
        <Rate name="Received from clients" value={rates.received} total={figures.received} history={samples.slice(1).map(({ rates }) => rates.received)} />
      </section>
      <section aria-label="Now" class="tiles">
        <Tile name="Connections" value={count(figures.connections)} />
        <Tile name="Rooms" value={count(figures.rooms)} />
        <Tile name="Queued" value={bytes(figures.queueBytes)} about="waiting to be written, on all connections" />
        <Tile name="Latency, median" value={at(0.5)} about="of the newest events of this page, from their timestamps" />
        <Tile name="Latency, 95 %" value={at(0.95)} />
        <Tile name="Round trip" value={`${count(roundTripMs)} ms`} about="of this page's last question" />
      </section>
      <section aria-label="Since the start" class="tiles">
        <Tile name="Dropped" value={count(figures.closed[SLOW] ?? 0)} about="connections that read too slowly (4000)" isBad={(figures.closed[SLOW] ?? 0) > 0} />
        <Tile name="Recovered" value={count(figures.recovered)} about="rooms that went on without a hole" />
        <Tile name="Gaps" value={count(figures.gaps)} about="rooms that did not" isBad={figures.gaps > 0} />
        <Tile name="Rate limited" value={count(figures.rateLimited)} about="messages" />
        <Tile name="Errors" value={count(figures.errors)} about="answers to messages" />
        <Tile name="Uptime" value={span(figures.uptimeSeconds)} />
      </section>
      <Closed figures={figures} />
    </>
  );
}

function Tile({ name, value, about, isBad }: { name: string; value: string; about?: string; isBad?: boolean }) {
  return (
    <dl class="tile">
      <dt>{name}</dt>
      <dd class={isBad ? "bad-text" : ""}>{value}</dd>
      {about && <dd class="quiet about">{about}</dd>}
    </dl>
  );
}

function Rate({ name, value, total, history }: { name: string; value: number; total: number; history: readonly number[] }) {
  return (
    <dl class="tile">
      <dt>{name}</dt>
      <dd>
        {count(value)}
        <span class="unit"> /s</span>
      </dd>
      <dd class="quiet about">{count(total)} since the start</dd>
      <dd>
        <Line values={history} />
      </dd>
    </dl>
  );
}

/** The last two minutes as a line; the figures beside it say the same in words. */
function Line({ values }: { values: readonly number[] }) {
  const top = Math.max(1, ...values);
  const points = values.map((value, index) => `${119 - 2 * (values.length - 1 - index)},${29 - (28 * value) / top}`);
  const first = 119 - 2 * (values.length - 1);
  return (
    <svg viewBox="0 0 120 30" preserveAspectRatio="none" aria-hidden="true">
      <polygon points={`${first},30 ${points.join(" ")} 119,30`} />
      <polyline points={points.join(" ")} />
    </svg>
  );
}

function Closed({ figures: { closed } }: { figures: Figures }) {
  const codes = Object.entries(closed).filter(([, times]) => times > 0);
  return (
    <section class="box" aria-label="Closed connections">
      <h2>Closed connections</h2>
      {codes.length === 0 ? (
        <Empty>None was closed yet.</Empty>
      ) : (
        <ul class="list">
          {codes.map(([code, times]) => (
            <li key={code} class="spread">
              <span>
                <span class="mono">{code}</span> <span class="quiet">{CLOSED[code] ?? ""}</span>
              </span>
              <span>{count(times)}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
