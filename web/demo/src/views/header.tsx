/** What stands above all: what this is, and where else to look. */

import { nameOf } from "../person.js";
import type { Config } from "../server.js";

export function Header({ config, shown, isAlone }: { config: Config; shown: readonly string[]; isAlone: boolean }) {
  const others = config.people.filter((id) => !shown.includes(id));
  return (
    <>
      <h1>Roomcast demo</h1>
      <p>
        {isAlone
          ? "One person's board. Whatever the others do arrives here by the gateway."
          : "Two people, each with a connection of their own. Whatever one does reaches the other by the gateway."}
      </p>
      <nav aria-label="Elsewhere">
        {!isAlone &&
          shown.map((id) => (
            <a key={id} className="narrow" href={`#${id}`}>
              To {nameOf(id)}
            </a>
          ))}
        {isAlone && <a href="/">Two people side by side</a>}
        {others.map((id) => (
          <a key={id} href={`/?person=${id}`} target="_blank" rel="noreferrer">
            {nameOf(id)} in another window
          </a>
        ))}
        <a href={config.console} target="_blank" rel="noreferrer">
          Console
        </a>
      </nav>
    </>
  );
}
