//! Messages and their sizes: counted on every delivery, so by each thread for itself.
//!
//! Owns the counting. Two threads that count into one place take turns at its cache line, which costs more than all else of a
//! delivery but the write; so each has a shard, and who reads adds them up.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// More threads than these share shards, which costs time and nothing else.
const SHARDS: usize = 16;

/// Upper bounds of the sizes that are counted together, in bytes: 64 to 1 MiB.
const BOUNDS: [usize; 8] = [64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SHARD: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
}

/// Messages of one direction.
#[derive(Debug, Clone, Default)]
pub(super) struct Traffic(Arc<[Shard; SHARDS]>);

/// What some threads have counted, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    /// Those up to each bound, and those over the last.
    messages: [AtomicU64; BOUNDS.len() + 1],
    bytes: AtomicU64,
}

impl Traffic {
    pub(super) fn add(&self, bytes: usize) {
        let shard = &self.0[SHARD.with(|shard| *shard)];
        shard.messages[BOUNDS.partition_point(|bound| *bound < bytes)].fetch_add(1, Ordering::Relaxed);
        shard.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn sum(&self, of: impl Fn(&Shard) -> u64) -> u64 {
        self.0.iter().map(of).sum()
    }

    pub(super) fn messages(&self) -> u64 {
        self.sum(|shard| shard.messages.iter().map(|count| count.load(Ordering::Relaxed)).sum())
    }

    fn bytes(&self) -> u64 {
        self.sum(|shard| shard.bytes.load(Ordering::Relaxed))
    }

    fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().map(|bound| *bound as f64).chain([f64::MAX]);
        let count = |place: usize| self.sum(|shard| shard.messages[place].load(Ordering::Relaxed));
        bounds.enumerate().map(|(place, bound)| (bound, count(place))).collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

/// How many messages went in each direction.
#[derive(Debug)]
pub(super) struct Messages(pub(super) [(&'static str, Traffic); 2]);

impl EncodeMetric for Messages {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (direction, traffic) in &self.0 {
            let labels = Direction { direction };
            encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&traffic.messages(), None)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// How large they were.
#[derive(Debug)]
pub(super) struct Sizes(pub(super) [(&'static str, Traffic); 2]);

impl EncodeMetric for Sizes {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (direction, traffic) in &self.0 {
            let labels = Direction { direction };
            let (sum, count) = (traffic.bytes() as f64, traffic.messages());
            encoder.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &traffic.buckets(), None)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_count_adds_up() {
        let traffic = Traffic::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * SHARDS {
                scope.spawn(|| [0, 64, 65, 2 << 20].into_iter().for_each(|bytes| traffic.add(bytes)));
            }
        });
        let threads = 2 * SHARDS as u64;
        assert_eq!(traffic.messages(), 4 * threads);
        assert_eq!(traffic.bytes(), (64 + 65 + (2 << 20)) * threads);
        let buckets = traffic.buckets();
        assert_eq!(buckets[..2], [(64.0, 2 * threads), (256.0, threads)]);
        assert_eq!(buckets[8].1, threads);
    }
}
