//! What is measured: each measure is a load, the servers that can do it, and the figures that are shown.

use super::servers::Server::{self, Broadcast, Bun, Cluster, Floor, Hono, Roomcast, Sockudo};

/// A figure that is shown, as the load tool calls it.
pub(super) struct Shown {
    pub(super) figure: &'static str,
    pub(super) heading: &'static str,
    /// What the figure is divided by to be shown.
    pub(super) divisor: f64,
    pub(super) places: usize,
    /// Whether Roomcast's median is shown as a ratio to each peer's.
    pub(super) ratio: bool,
}

/// One measure.
pub(super) struct Measure {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// What is done, and what should be known about it.
    pub(super) words: &'static str,
    pub(super) servers: &'static [Server],
    /// The load tool's arguments.
    pub(super) load: &'static [&'static str],
    /// Further arguments of a full run, and of a quick one.
    pub(super) full: &'static [&'static str],
    pub(super) quick: &'static [&'static str],
    /// Runs at most: some take minutes.
    pub(super) runs: u32,
    /// The measure whose publishes a second, the lower of Roomcast's and Bun's, give twice the rate of this one.
    pub(super) half_rate_of: Option<&'static str>,
    pub(super) shown: &'static [Shown],
}

const fn compared(figure: &'static str, heading: &'static str, divisor: f64, places: usize) -> Shown {
    Shown { figure, heading, divisor, places, ratio: true }
}

const fn cost(figure: &'static str, heading: &'static str) -> Shown {
    compared(figure, heading, 1.0, 2)
}

const fn plain(figure: &'static str, heading: &'static str, divisor: f64, places: usize) -> Shown {
    Shown { figure, heading, divisor, places, ratio: false }
}

const ALL: &[Server] = &[Roomcast, Floor, Bun, Sockudo, Broadcast, Hono];
/// Two seconds of the server's time at least, so that counting it in hundredths does not matter.
const FULL: &[&str] = &["--server-seconds", "2", "--seconds", "2"];
const QUICK: &[&str] = &["--seconds", "0.5", "--warm-up", "0.3"];

const FANOUT: &[Shown] = &[
    cost("cpu_per_delivery_us", "CPU per delivery, µs"),
    cost("cpu_per_delivery_user_us", "user part, µs"),
    plain("deliveries_per_second", "deliveries/s", 1.0, 0),
    plain("deliveries_per_read", "events per read", 1.0, 1),
    plain("latency_p50_us", "p50, ms", 1000.0, 2),
    plain("latency_p99_us", "p99, ms", 1000.0, 2),
];

const ROOM: &str = "One room of 1,000 connections. Each publisher has one publication of 250 bytes outstanding, by HTTP, \
                    and publishes again when it is answered. A server that answers before it has delivered can put \
                    several events into one write, also with one publisher, and pays for that in latency: see the events \
                    per read, and the measure of one event at a time.";

const fn room(name: &'static str, title: &'static str, load: &'static [&'static str]) -> Measure {
    Measure {
        name,
        title,
        words: ROOM,
        servers: ALL,
        load,
        full: FULL,
        quick: QUICK,
        runs: 9,
        half_rate_of: None,
        shown: FANOUT,
    }
}

const IDLE: &[Shown] = &[
    compared("wave_1_resident_per_connection_bytes", "bytes each", 1.0, 0),
    plain("wave_2_resident_per_connection_bytes", "second wave, bytes each", 1.0, 0),
    plain("wave_1_returned_share", "returned in a minute, %", 0.01, 0),
    compared("cpu_per_connection_and_second_us", "CPU each and second, µs", 1.0, 3),
];

const fn idle(
    name: &'static str,
    title: &'static str,
    words: &'static str,
    servers: &'static [Server],
    load: &'static [&'static str],
) -> Measure {
    Measure {
        name,
        title,
        words,
        servers,
        load,
        full: &["--connections", "15000", "--seconds", "60", "--release", "60"],
        quick: &["--connections", "1500", "--seconds", "1", "--release", "1"],
        runs: 2,
        half_rate_of: None,
        shown: IDLE,
    }
}

/// All measures, in the order in which they are run.
pub(super) const MEASURES: &[Measure] = &[
    room("room-1", "One room of 1,000, one publisher", &["fanout", "--window", "1"]),
    room("room-4", "One room of 1,000, four publishers", &["fanout", "--window", "4"]),
    room("room-16", "One room of 1,000, sixteen publishers", &["fanout", "--window", "16"]),
    Measure {
        name: "single",
        title: "One room of 1,000, one event at a time",
        words: "As above with one publisher, which publishes again only when the event has come to all members: no \
                server can put two events into one write.",
        servers: ALL,
        load: &["fanout", "--window", "1", "--until", "delivered"],
        full: FULL,
        quick: QUICK,
        runs: 9,
        half_rate_of: None,
        shown: FANOUT,
    },
    Measure {
        name: "rooms",
        title: "100 rooms of 10, eight publishers",
        words: "1,000 connections in 100 rooms of ten. A publish over HTTP and its ten deliveries, together.",
        servers: &[Roomcast, Floor, Bun, Broadcast, Hono],
        load: &["fanout", "--rooms", "100", "--window", "8"],
        full: FULL,
        quick: QUICK,
        runs: 9,
        half_rate_of: None,
        shown: &[
            cost("cpu_per_publish_us", "CPU per publish, µs"),
            cost("cpu_per_publish_user_us", "user part, µs"),
            plain("publishes_per_second", "publishes/s", 1.0, 0),
            plain("latency_p50_us", "p50, ms", 1000.0, 2),
            plain("latency_p99_us", "p99, ms", 1000.0, 2),
        ],
    },
    Measure {
        name: "saturation",
        title: "2,000 connections in 8 of 500 rooms, as fast as it goes",
        words: "32 publishers in a closed loop: what the server can take. It gives the rate of the next measure.",
        servers: &[Roomcast, Bun],
        load: &["fanout", "--connections", "2000", "--rooms", "500", "--rooms-per-connection", "8", "--window", "32"],
        full: FULL,
        quick: QUICK,
        runs: 3,
        half_rate_of: None,
        shown: &[
            plain("publishes_per_second", "publishes/s", 1.0, 0),
            plain("deliveries_per_second", "deliveries/s", 1.0, 0),
            plain("cpu_per_delivery_us", "CPU per delivery, µs", 1.0, 2),
        ],
    },
    Measure {
        name: "latency",
        title: "2,000 connections in 8 of 500 rooms, at a fixed rate",
        words: "Open loop at half of the lower of Roomcast's and Bun's rate above. Latency counts from the moment when \
                an event was due.",
        servers: &[Roomcast, Floor, Bun, Broadcast, Hono],
        load: &["fanout", "--connections", "2000", "--rooms", "500", "--rooms-per-connection", "8", "--window", "64"],
        full: &["--seconds", "5", "--server-seconds", "2"],
        quick: QUICK,
        runs: 9,
        half_rate_of: Some("saturation"),
        shown: &[
            compared("latency_p99_us", "p99, ms", 1000.0, 3),
            plain("latency_p50_us", "p50, ms", 1000.0, 3),
            plain("latency_p999_us", "p99.9, ms", 1000.0, 3),
            plain("publishes_per_second", "publishes/s", 1.0, 0),
            plain("server_share", "server's processor, %", 0.01, 0),
        ],
    },
    idle(
        "idle-300",
        "15,000 idle connections in three of 300 rooms",
        "Resident memory of the process, without what the system holds for sockets. The second wave comes a minute after the \
         first has left; what was returned is the share of what the first had taken. Processor time is that of a minute in \
         which nothing is said but pings: Roomcast's come 30 s apart, or up to a seventh earlier, Bun's 28 s.",
        &[Roomcast, Bun],
        &["idle", "--rooms", "300", "--rooms-per-connection", "3"],
    ),
    idle(
        "idle-15000",
        "15,000 idle connections in three of 15,000 rooms",
        "As above, with as many rooms as connections: a room costs memory too. Hono sends no pings.",
        &[Roomcast, Bun, Hono],
        &["idle", "--rooms", "15000", "--rooms-per-connection", "3"],
    ),
    Measure {
        name: "storm",
        title: "15,000 connections come at once",
        words: "256 at a time. Roomcast checks a signed token of another user for each, and says so in a first frame; the \
                peers only upgrade. [DESIGN.md](../DESIGN.md#the-server) has a profile of where the time goes.",
        servers: &[Roomcast, Bun, Broadcast, Hono],
        load: &["connect", "--rooms-per-connection", "0", "--waves", "2"],
        full: &["--connections", "15000"],
        quick: &["--connections", "1500"],
        runs: 9,
        half_rate_of: None,
        shown: &[
            cost("cpu_per_connection_us", "CPU each, µs"),
            cost("cpu_per_connection_user_us", "user part, µs"),
            plain("connections_per_second", "connections/s", 1.0, 0),
            plain("connecting_p99_us", "p99, ms", 1000.0, 1),
        ],
    },
    Measure {
        name: "recovery",
        title: "5,000 clients come back to 100 missed events each",
        words: "By their positions; and beside it the same clients, who connect without positions and load what they missed \
                by GET history, each over an HTTP connection of its own.",
        servers: &[Roomcast],
        load: &["recover", "--rooms", "50", "--events", "100"],
        full: &["--connections", "5000"],
        quick: &["--connections", "500"],
        runs: 5,
        half_rate_of: None,
        shown: &[
            plain("recovery_cpu_per_client_us", "CPU each by positions, µs", 1.0, 0),
            plain("loading_cpu_per_client_us", "CPU each by history, µs", 1.0, 0),
            plain("recovery_seconds", "all back by positions, s", 1.0, 2),
            plain("loading_seconds", "all back by history, s", 1.0, 2),
            plain("recovered_events", "events recovered", 1.0, 0),
        ],
    },
    Measure {
        name: "cluster",
        title: "Two nodes on Redis beside one with the embedded broker",
        words: "One room of 1,000 with four publishers, each of which publishes again when its event has come to all members: \
                over Redis nothing else holds publishers back that the members' node cannot keep up with. With Redis the \
                members are on one node and the publishers on the other; the figure is both nodes' processor time, without \
                that of Redis, which is on the same processor.",
        servers: &[Roomcast, Cluster],
        load: &["fanout", "--window", "4", "--until", "delivered"],
        full: FULL,
        quick: QUICK,
        runs: 5,
        half_rate_of: None,
        shown: FANOUT,
    },
    Measure {
        name: "redis-latency",
        title: "What Redis adds to the latency",
        words: "One room of 100 and 200 events a second, which leaves everything idle most of the time. Latency counts from \
                the moment when an event was due, on one node or over two and Redis. All of them share one processor.",
        servers: &[Roomcast, Cluster],
        load: &["fanout", "--connections", "100", "--window", "8", "--rate", "200"],
        full: &["--seconds", "5"],
        quick: QUICK,
        runs: 9,
        half_rate_of: None,
        shown: &[
            plain("latency_p50_us", "p50, ms", 1000.0, 3),
            plain("latency_p99_us", "p99, ms", 1000.0, 3),
            plain("latency_p999_us", "p99.9, ms", 1000.0, 3),
            plain("cpu_per_delivery_us", "CPU per delivery, µs", 1.0, 2),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_has_a_name_of_its_own_and_begins_with_roomcast() {
        for (index, measure) in MEASURES.iter().enumerate() {
            assert!(MEASURES[..index].iter().all(|other| other.name != measure.name), "{}", measure.name);
            assert_eq!(measure.servers.first(), Some(&Roomcast), "{}", measure.name);
            assert!(measure.half_rate_of.is_none_or(|of| MEASURES[..index].iter().any(|other| other.name == of)));
        }
    }
}
