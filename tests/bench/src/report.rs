//! What a benchmark has found, as a table for people and as lines of JSON for programs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::process::Usage;

/// How the measured program was set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `fresh` for an instance of its own for each request or call; else requests in its life x at the same time.
    pub reuse: &'static str,
    /// When what is written is flushed to the disk: `commit` (before it is acknowledged), or `none` (nothing is written).
    pub flush: &'static str,
    /// Bounds on memory, processor time and concurrency: those of the manifest, or none.
    pub limits: &'static str,
    /// How flushing is set up and where the work is done, where systems differ in it; else empty.
    pub how: &'static str,
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Label {
    /// The benchmark.
    pub bench: &'static str,
    /// `weft`, or the name of what stands beside it.
    pub system: &'static str,
    /// Requests, calls, sagas or publishers in flight, or consumers; 0 where the rate is given.
    pub concurrency: usize,
    /// How it was set up.
    pub settings: Settings,
}

/// What one run has measured.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// From the first to the last.
    pub elapsed: Duration,
    /// How many requests, calls, sagas or events.
    pub count: u64,
    /// How long each took, sorted; empty where only the rate is measured.
    pub latencies: Vec<Duration>,
    /// What a load generator says of the latencies, where it does not tell each.
    pub stated: Option<Stated>,
    /// Processor time of the measured processes.
    pub cpu: Duration,
    /// Bytes that they have caused to be written to the disk, where that matters.
    pub written_bytes: Option<u64>,
    /// Memory that they held at the end.
    pub resident_bytes: Option<u64>,
    /// Memory that they held at the start and in the middle, where that matters.
    pub resident_before: Option<[u64; 2]>,
    /// From the restart after a kill to the end of all sagas that were in flight.
    pub recovery: Option<Duration>,
    /// What only this bench measures, by name and unit.
    pub extra: Vec<(&'static str, f64)>,
}

/// Latencies as a load generator sums them up, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Stated {
    /// On average.
    pub avg_ms: f64,
    /// The median.
    pub p50_ms: f64,
    /// What 99 of 100 are not above.
    pub p99_ms: f64,
}

/// One line of the report.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub label: Label,
    /// The median run.
    pub run: Run,
}

impl Run {
    /// With what its processes have used between two looks at them.
    #[must_use]
    pub fn with_usage(self, before: &Usage, after: &Usage, writes: bool) -> Self {
        Self {
            cpu: after.cpu.saturating_sub(before.cpu),
            written_bytes: writes.then(|| after.written_bytes.saturating_sub(before.written_bytes)),
            resident_bytes: Some(after.resident_bytes),
            ..self
        }
    }

    /// How many were done in a second.
    #[must_use]
    pub fn per_s(&self) -> f64 {
        self.count() / self.elapsed.as_secs_f64()
    }

    /// The latency that `percent` of all are not above, in milliseconds.
    fn percentile_ms(&self, percent: usize) -> Option<f64> {
        if let Some(stated) = self.stated {
            return Some(if percent == 99 { stated.p99_ms } else { stated.p50_ms });
        }
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(last * percent / 100).map(|latency| latency.as_secs_f64() * 1e3)
    }

    #[allow(clippy::cast_precision_loss)]
    fn average_ms(&self) -> Option<f64> {
        if let Some(stated) = self.stated {
            return Some(stated.avg_ms);
        }
        let sum: Duration = self.latencies.iter().sum();
        (!self.latencies.is_empty()).then(|| sum.as_secs_f64() * 1e3 / self.latencies.len() as f64)
    }

    #[allow(clippy::cast_precision_loss)]
    fn count(&self) -> f64 {
        self.count as f64
    }

    fn cpu_ms(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e3 / self.count()
    }

    #[allow(clippy::cast_precision_loss)]
    fn written_kb(&self) -> Option<f64> {
        self.written_bytes.map(|bytes| bytes as f64 / 1024.0 / self.count())
    }

    fn resident_mb(&self) -> Option<f64> {
        self.resident_bytes.map(mb)
    }

    fn recovery_s(&self) -> Option<f64> {
        self.recovery.map(|recovery| recovery.as_secs_f64())
    }
}

#[allow(clippy::cast_precision_loss)]
fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

/// Prints one JSON object for each row.
pub fn lines(rows: &[Row]) {
    for row in rows {
        println!("{}", object(row));
    }
}

fn object(row: &Row) -> Value {
    let Row { label, run } = row;
    let object = json!({
        "bench": label.bench,
        "system": label.system,
        "concurrency": label.concurrency,
        "per_s": rounded(run.per_s(), 10.0),
        "cpu_ms": rounded(run.cpu_ms(), 1e4),
        "settings": {
            "reuse": label.settings.reuse,
            "flush": label.settings.flush,
            "limits": label.settings.limits,
            "how": label.settings.how,
            "cores": cores(),
        },
    });
    let Value::Object(mut object) = object else { return object };
    let [start, middle] = run.resident_before.map_or([None; 2], |before| before.map(Some));
    let optional = [
        ("avg_ms", run.average_ms(), 1e4),
        ("p50_ms", run.percentile_ms(50), 1e4),
        ("p99_ms", run.percentile_ms(99), 1e4),
        ("written_kb", run.written_kb(), 100.0),
        ("rss_mb", run.resident_mb(), 100.0),
        ("rss_start_mb", start.map(mb), 100.0),
        ("rss_middle_mb", middle.map(mb), 100.0),
        ("recovery_s", run.recovery_s(), 100.0),
    ];
    for (name, value, parts) in optional {
        if let Some(value) = value {
            object.insert(name.to_owned(), json!(rounded(value, parts)));
        }
    }
    for (name, value) in &run.extra {
        object.insert((*name).to_owned(), json!(rounded(*value, 100.0)));
    }
    Value::Object(object)
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Prints all rows as one table, and under it what the systems differ in.
pub fn table(rows: &[Row]) {
    println!(
        "{:<23} {:<17} {:>9} {:>8} {:>10} {:>9} {:>9} {:>9} {:>9} {:>8} {:>10} {:>11}  flush",
        "bench",
        "system",
        "in flight",
        "reuse",
        "per s",
        "avg ms",
        "p50 ms",
        "p99 ms",
        "cpu ms",
        "rss MB",
        "written KB",
        "recovery s"
    );
    for Row { label, run } in rows {
        println!(
            "{:<23} {:<17} {:>9} {:>8} {:>10.1} {:>9} {:>9} {:>9} {:>9.4} {:>8} {:>10} {:>11}  {}",
            label.bench,
            label.system,
            label.concurrency,
            label.settings.reuse,
            run.per_s(),
            cell(run.average_ms(), 3),
            cell(run.percentile_ms(50), 3),
            cell(run.percentile_ms(99), 3),
            run.cpu_ms(),
            cell(run.resident_mb(), 0),
            cell(run.written_kb(), 1),
            cell(run.recovery_s(), 2),
            label.settings.flush,
        );
        if !run.extra.is_empty() {
            let extra: Vec<String> = run.extra.iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
            println!("    {}", extra.join(", "));
        }
    }
    println!(
        "{} cores, shared with what drives the load; each row is the median of three alternating runs, drain of one",
        cores()
    );
    let mut told = Vec::new();
    for Label { bench, system, settings, .. } in rows.iter().map(|row| &row.label) {
        if !settings.how.is_empty() && !told.contains(&(bench, system)) {
            println!("{bench}, {system}: {}", settings.how);
            told.push((bench, system));
        }
    }
}

/// A value that not all rows have.
fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(String::new, |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_object_with_units_in_its_names() {
        let settings = Settings { reuse: "fresh", flush: "commit", limits: "manifest", how: "as it comes" };
        let label = Label { bench: "saga-5-step", system: "weft", concurrency: 16, settings };
        let run = Run {
            elapsed: Duration::from_secs(2),
            count: 100,
            latencies: (1..=100).map(Duration::from_millis).collect(),
            cpu: Duration::from_millis(50),
            written_bytes: Some(100 * 2048),
            resident_bytes: Some(64 << 20),
            resident_before: Some([16 << 20, 32 << 20]),
            recovery: Some(Duration::from_millis(250)),
            stated: None,
            extra: vec![("refused_percent", 12.5)],
        };
        let object = object(&Row { label, run });
        let times = [
            ("per_s", 50.0),
            ("avg_ms", 50.5),
            ("p50_ms", 50.0),
            ("p99_ms", 99.0),
            ("cpu_ms", 0.5),
            ("recovery_s", 0.25),
        ];
        let sizes = [("written_kb", 2.0), ("rss_mb", 64.0), ("rss_start_mb", 16.0), ("rss_middle_mb", 32.0)];
        for (name, value) in times.into_iter().chain(sizes) {
            assert_eq!(object[name], value, "{name}");
        }
        assert_eq!(object["refused_percent"], 12.5);
        assert_eq!(object["settings"]["reuse"], "fresh");
        assert_eq!(object["settings"]["how"], "as it comes");
    }
}
