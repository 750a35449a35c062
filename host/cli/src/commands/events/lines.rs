//! `weft events publish --lines`: a file of events, one JSON object on each line, published in batches. Each has an id, its
//! own or one made of its line, so that publishing the file again publishes nothing twice as long as the host remembers.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::Context as _;

use crate::commands::arguments::actor;
use crate::control::api::{NewEvent, Publish};
use crate::control::client::Client;
use crate::exit::{Exit, UsageError};
use crate::output;

/// The most events of one batch, and about the most bytes.
const BATCH: usize = 1_000;
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// The longest line, in bytes.
const MAX_LINE_BYTES: usize = 2 * 1024 * 1024;
/// After how many batches it says how far it is.
const TOLD_EVERY: u64 = 20;

pub(super) async fn run(file: &Path, from_line: u64, client: &Client) -> anyhow::Result<Exit> {
    let reader: Box<dyn BufRead> = match file.to_str() {
        Some("-") => Box::new(BufReader::new(io::stdin())),
        _ => Box::new(BufReader::new(File::open(file).with_context(|| format!("cannot read {}", file.display()))?)),
    };
    let mut lines = Lines { reader, number: 0, from_line };
    let (mut published, mut batches, mut done) = (0_usize, 0_u64, from_line.saturating_sub(1));
    loop {
        let failed = |done: u64| format!("published up to line {done}; go on with --from-line {}", done + 1);
        let batch = lines.batch().with_context(|| failed(done))?;
        if batch.is_empty() {
            break;
        }
        let answer = client.publish(&Publish { actor: actor(), events: batch }).await;
        published += answer.with_context(|| failed(done))?.ids.len();
        done = lines.number;
        batches += 1;
        if batches % TOLD_EVERY == 0 {
            output::note(&format!("{published} events published, up to line {done}"));
        }
    }
    output::line(&format!("{published} events published"))?;
    Ok(Exit::Success)
}

struct Lines<R> {
    reader: R,
    /// Of the last line that was read, from 1.
    number: u64,
    from_line: u64,
}

impl<R: BufRead> Lines<R> {
    /// The next events; none at the end. Empty lines are passed over.
    fn batch(&mut self) -> anyhow::Result<Vec<NewEvent>> {
        let (mut events, mut bytes) = (Vec::new(), 0);
        while events.len() < BATCH && bytes < BATCH_BYTES {
            let mut line = Vec::new();
            let limit = u64::try_from(MAX_LINE_BYTES)?;
            let read = io::Read::take(&mut self.reader, limit).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            self.number += 1;
            if read == MAX_LINE_BYTES && !line.ends_with(b"\n") {
                let text = format!("line {} has more than {MAX_LINE_BYTES} bytes", self.number);
                return Err(UsageError(text).into());
            }
            let line = line.trim_ascii();
            if self.number < self.from_line || line.is_empty() {
                continue;
            }
            bytes += line.len();
            events.push(event(line, self.number)?);
        }
        Ok(events)
    }
}

fn event(line: &[u8], number: u64) -> anyhow::Result<NewEvent> {
    let value: serde_json::Value =
        serde_json::from_slice(line).map_err(|error| UsageError(format!("line {number} is not JSON: {error}")))?;
    // What `weft events history --json` prints has the event beside its position.
    let value = match value.get("event") {
        Some(event) if value.get("position").is_some() => event.clone(),
        _ => value,
    };
    let mut event: NewEvent = serde_json::from_value(value)
        .map_err(|error| UsageError(format!("line {number} is no event with topic, type and data: {error}")))?;
    event.id.get_or_insert_with(|| format!("line-{number}-{:016x}", fingerprint(line)));
    Ok(event)
}

/// FNV-1a: the same line at the same place is the same event, another is another.
fn fingerprint(line: &[u8]) -> u64 {
    line.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, from_line: u64) -> Lines<&[u8]> {
        Lines { reader: text.as_bytes(), number: 0, from_line }
    }

    #[test]
    fn lines_are_events_with_ids_that_stay() {
        let text = concat!(
            r#"{"topic": "a.b", "type": "T", "data": 1, "id": "own"}"#,
            "\n\n",
            r#"{"topic": "a.b", "type": "T", "data": 2}"#,
            "\n",
            r#"{"position": 5, "event": {"specversion": "1.0", "topic": "c", "type": "U", "id": "read", "data": null}}"#,
        );
        let ids = |from_line| -> Vec<_> {
            read(text, from_line).batch().unwrap().into_iter().map(|event| event.id.unwrap()).collect()
        };
        let all = ids(1);
        assert_eq!((all.len(), all[0].as_str(), all[2].as_str()), (3, "own", "read"));
        assert!(all[1].starts_with("line-3-"), "{}", all[1]);
        assert_eq!(ids(2), all[1..]);
        assert_eq!(ids(5), Vec::<String>::new());
    }

    #[test]
    fn batches_are_bounded_and_wrong_lines_told_by_number() {
        let many = "{\"topic\":\"a\",\"type\":\"T\"}\n".repeat(BATCH + 1);
        let mut lines = read(&many, 1);
        assert_eq!(
            (lines.batch().unwrap().len(), lines.batch().unwrap().len(), lines.batch().unwrap().len()),
            (BATCH, 1, 0)
        );
        let wrong = |text: &str| read(text, 1).batch().unwrap_err().to_string();
        assert!(wrong("\n{").starts_with("line 2 is not JSON"));
        assert!(wrong("{\"topic\": \"a\"}").contains("missing field `type`"));
        assert!(wrong("{\"topic\": \"a\", \"type\": \"T\", \"dta\": 1}").contains("dta"));
    }
}
