//! Latencies, counted in buckets: a value is known to within one part in 128, whatever its size.
//!
//! Owns no samples: a run of any length takes the same memory, and recording costs an addition.

/// Buckets of equal width between two powers of two: the precision.
const BITS: u32 = 7;
const PER_POWER: u64 = 1 << BITS;
const BUCKETS: usize = ((u64::BITS - BITS + 1) as usize) << BITS;

/// How often each latency, in nanoseconds, was seen.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    largest: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, largest: 0 }
    }

    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.buckets[bucket(nanoseconds)] += 1;
        self.count += 1;
        self.largest = self.largest.max(nanoseconds);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn largest(&self) -> u64 {
        self.largest
    }

    /// The smallest recorded latency that at least this share of all does not exceed; 0 when nothing was recorded.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let wanted = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_end(index).min(self.largest);
            }
        }
        self.largest
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }
}

fn bucket(value: u64) -> usize {
    if value < PER_POWER {
        return value as usize;
    }
    let shift = u64::BITS - 1 - value.leading_zeros() - BITS;
    let within = (value >> shift) - PER_POWER;
    ((u64::from(shift) + 1) * PER_POWER + within) as usize
}

/// The largest value that falls into a bucket.
fn upper_end(bucket: usize) -> u64 {
    let (power, within) = (bucket as u64 / PER_POWER, bucket as u64 % PER_POWER);
    if power == 0 {
        return within;
    }
    let shift = power - 1;
    ((PER_POWER + within) << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_value_that_a_sorted_list_has_there_to_within_a_hundredth() {
        let mut histogram = Histogram::new();
        // Far from sorted, and spread over five powers of ten.
        let values: Vec<u64> = (1..=10_000_u64).map(|index| (index * 7919 % 10_007) * index).collect();
        for value in &values {
            histogram.record(*value);
        }
        let mut sorted = values;
        sorted.sort_unstable();
        for share in [0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = sorted[((sorted.len() as f64 * share).ceil() as usize).max(1) - 1] as f64;
            let found = histogram.quantile(share) as f64;
            assert!(found >= exact && found <= exact * 1.01, "{share}: {found} instead of {exact}");
        }
        assert_eq!((histogram.count(), histogram.largest()), (10_000, *sorted.last().unwrap()));
    }

    #[test]
    fn one_slow_delivery_in_a_hundred_shows_at_the_ninety_ninth_percentile_and_not_before() {
        let mut histogram = Histogram::new();
        for _ in 0..98 {
            histogram.record(100);
        }
        histogram.record(1_000_000);
        histogram.record(1_000_000);
        assert_eq!(histogram.quantile(0.98), 100);
        assert_eq!(histogram.quantile(0.99), 1_000_000);
    }

    #[test]
    fn the_smallest_and_the_largest_value_have_a_place() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.5), 0);
        histogram.record(0);
        histogram.record(u64::MAX);
        assert_eq!((histogram.quantile(0.5), histogram.quantile(1.0)), (0, u64::MAX));
    }

    #[test]
    fn every_value_lies_in_its_bucket() {
        for value in (0..100_000).chain((17..64).map(|power| 1_u64 << power)) {
            let index = bucket(value);
            assert!(value <= upper_end(index), "{value}");
            assert!(index == 0 || value > upper_end(index - 1), "{value}");
        }
    }
}
