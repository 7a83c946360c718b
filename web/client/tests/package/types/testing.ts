// What a test of an application writes, and what it must not get past the compiler.

import { createClient } from "@roomcast/client";
import { createFakeGateway, type FakeGateway } from "@roomcast/client/testing";

const gateway: FakeGateway<{ "deploy.started": { sha: string } }> = createFakeGateway({ historySize: 10, access: "grants" });

// What must compile.

createClient({ url: gateway.url, token: gateway.tokens("ann", { grants: { "team:*": ["subscribe"] } }), WebSocket: gateway.WebSocket });
gateway.publish("issue.deleted", { id: "i", teamId: "t" }, { userId: "bob" }).positions satisfies object;
gateway.publish("deploy.started", { sha: "abc" }, { rooms: ["team:t"] });
gateway.drop("ann");
gateway.refuse();
gateway.unavailable(false);
gateway.gap("team:t", "too_many_missed");
gateway.expiring();
gateway.expire("ann");
gateway.drain(1_000);
gateway.disconnect("ann");
gateway.members("team:t").length satisfies number;
gateway.close();

// What must not.

// @ts-expect-error an event that nobody has declared
gateway.publish("deploy.ended", { sha: "abc" });
// @ts-expect-error a field is missing
gateway.publish("issue.deleted", { id: "i" });
// @ts-expect-error a room has a kind
gateway.gap("team");
// @ts-expect-error a reason that does not exist
gateway.gap("team:t", "lost");
// @ts-expect-error somebody must be named
gateway.disconnect();
// @ts-expect-error there is no such access
createFakeGateway({ access: "closed" });
