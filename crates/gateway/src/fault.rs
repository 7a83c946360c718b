//! Faults that a test builds in, to show that the model test would find them.
//!
//! Outside of tests nothing is built in, and the checks cost nothing: they are constant there.

/// A safeguard that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code, reason = "only tests build them in"))]
pub(crate) enum Fault {
    /// Nothing is held back while history is read.
    UnheldRead,
    /// A position of another life of the stream counts like one of this.
    AnyEpoch,
    /// What was delivered already is delivered again.
    Redelivery,
    /// A broker whose data are older than they were goes on in the epochs that it had.
    KeptEpoch,
}

/// Whether the safeguard is left out.
#[cfg(not(test))]
pub(crate) const fn is_built_in(_fault: Fault) -> bool {
    false
}

#[cfg(test)]
thread_local! {
    static BUILT_IN: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) };
}

/// Whether the safeguard is left out in this thread.
#[cfg(test)]
pub(crate) fn is_built_in(fault: Fault) -> bool {
    BUILT_IN.get() == Some(fault)
}

/// Leaves a safeguard out in this thread, or puts all back.
#[cfg(test)]
pub(crate) fn build_in(fault: Option<Fault>) {
    BUILT_IN.set(fault);
}
