//! Metrics on their way out.

use protocols::abi::metric::Metric;

/// Takes one.
pub fn record(metric: Metric) {
    log::info!(
        "metric {} core {} min {} median {} p99 {} max {} ({:?})",
        metric.name(),
        metric.core,
        metric.min,
        metric.median,
        metric.p99,
        metric.max,
        metric.unit
    );
}

/// Says that the kernel has stopped.
pub fn panicked(_why: core::fmt::Arguments<'_>) {}
