//! Metrics of `wasi:otel`: each data point becomes a record of its own, so that none is long. Exemplars are left out.

use serde_json::{Map, Value, json};

use super::bindings::wasi::otel::metrics as wit;
use super::values::{attributes, object, rfc3339};

/// The data points of a metric.
pub(super) fn points(data: &wit::MetricData) -> Vec<Map<String, Value>> {
    use wit::MetricData as Data;
    match data {
        Data::F64Gauge(gauge) | Data::U64Gauge(gauge) | Data::S64Gauge(gauge) => of_gauge(gauge),
        Data::F64Sum(sum) | Data::U64Sum(sum) | Data::S64Sum(sum) => of_sum(sum),
        Data::F64Histogram(histogram) | Data::U64Histogram(histogram) | Data::S64Histogram(histogram) => {
            of_histogram(histogram)
        }
        Data::F64ExponentialHistogram(histogram)
        | Data::U64ExponentialHistogram(histogram)
        | Data::S64ExponentialHistogram(histogram) => of_exponential_histogram(histogram),
    }
}

fn of_gauge(gauge: &wit::Gauge) -> Vec<Map<String, Value>> {
    let point = |point: &wit::GaugeDataPoint| {
        object(json!({
            "kind": "gauge",
            "time": rfc3339(gauge.time),
            "attributes": attributes(&point.attributes),
            "value": number(point.value),
        }))
    };
    gauge.data_points.iter().map(point).collect()
}

fn of_sum(sum: &wit::Sum) -> Vec<Map<String, Value>> {
    let point = |point: &wit::SumDataPoint| {
        object(json!({
            "kind": "sum",
            "monotonic": sum.is_monotonic,
            "temporality": temporality(sum.temporality),
            "start": rfc3339(sum.start_time),
            "time": rfc3339(sum.time),
            "attributes": attributes(&point.attributes),
            "value": number(point.value),
        }))
    };
    sum.data_points.iter().map(point).collect()
}

fn of_histogram(histogram: &wit::Histogram) -> Vec<Map<String, Value>> {
    let point = |point: &wit::HistogramDataPoint| {
        object(json!({
            "kind": "histogram",
            "temporality": temporality(histogram.temporality),
            "start": rfc3339(histogram.start_time),
            "time": rfc3339(histogram.time),
            "attributes": attributes(&point.attributes),
            "count": point.count,
            "sum": number(point.sum),
            "min": point.min.map(number),
            "max": point.max.map(number),
            "bounds": point.bounds,
            "bucket_counts": point.bucket_counts,
        }))
    };
    histogram.data_points.iter().map(point).collect()
}

fn of_exponential_histogram(histogram: &wit::ExponentialHistogram) -> Vec<Map<String, Value>> {
    let bucket = |bucket: &wit::ExponentialBucket| json!({ "offset": bucket.offset, "counts": bucket.counts });
    let point = |point: &wit::ExponentialHistogramDataPoint| {
        object(json!({
            "kind": "exponential_histogram",
            "temporality": temporality(histogram.temporality),
            "start": rfc3339(histogram.start_time),
            "time": rfc3339(histogram.time),
            "attributes": attributes(&point.attributes),
            "count": point.count,
            "sum": number(point.sum),
            "min": point.min.map(number),
            "max": point.max.map(number),
            "scale": point.scale,
            "zero_count": point.zero_count,
            "zero_threshold": point.zero_threshold,
            "positive": bucket(&point.positive_bucket),
            "negative": bucket(&point.negative_bucket),
        }))
    };
    histogram.data_points.iter().map(point).collect()
}

fn number(number: wit::MetricNumber) -> Value {
    match number {
        wit::MetricNumber::F64(number) => number.into(),
        wit::MetricNumber::S64(number) => number.into(),
        wit::MetricNumber::U64(number) => number.into(),
    }
}

fn temporality(temporality: wit::Temporality) -> &'static str {
    match temporality {
        wit::Temporality::Cumulative => "cumulative",
        wit::Temporality::Delta => "delta",
        wit::Temporality::LowMemory => "low-memory",
    }
}
