//! Publishes so many events to a room of so many members: what `cargo xtask instructions` counts.

use roomcast_gateway::Probe;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let (members, publishes) = (numbers.next().expect("members"), numbers.next().expect("publishes"));
    let mut probe = Probe::new(members);
    let bytes: usize = (0..publishes).map(|_: usize| probe.publish()).sum();
    println!("{bytes} bytes");
}
