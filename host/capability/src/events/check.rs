//! What every backend checks of an append before it takes the database's time: names, JSON and limits.

use serde::de::IgnoredAny;

use weft_core::topic::check_topic;

use super::{Append, EventStoreError, Filter, NewEvent, limits};

/// Checks the appends of one commit. Answers how many bytes their events have.
pub(crate) fn appends(appends: &[Append]) -> Result<usize, EventStoreError> {
    let count: usize = appends.iter().map(|append| append.events.len()).sum();
    if count > limits::EVENTS {
        return invalid(format!("{count} events, at most {} fit into an append", limits::EVENTS));
    }
    let mut bytes = 0;
    for append in appends {
        stream(&append.stream)?;
        if append.events.is_empty() {
            return invalid(format!("the append to `{}` has no event", append.stream));
        }
        for (index, one) in append.events.iter().enumerate() {
            event(one)
                .map_err(|what| EventStoreError::Invalid(format!("event {index} of `{}`: {what}", append.stream)))?;
            bytes += one.data.len() + one.metadata.as_ref().map_or(0, Vec::len);
        }
    }
    Ok(bytes)
}

/// Checks the name of a stream.
pub(crate) fn stream(name: &str) -> Result<(), EventStoreError> {
    let whole = name.split_once('-').is_some_and(|(category, id)| !category.is_empty() && !id.is_empty());
    if !whole || name.len() > limits::STREAM_BYTES || name.chars().any(char::is_control) {
        return invalid(format!(
            "{name:?} is no stream: it is called `<category>-<id>`, has at most {} bytes and no control characters",
            limits::STREAM_BYTES
        ));
    }
    Ok(())
}

/// Checks a snapshot.
pub(crate) fn snapshot(name: &str, data: &[u8]) -> Result<(), EventStoreError> {
    stream(name)?;
    if data.len() > limits::SNAPSHOT_BYTES {
        let most = limits::SNAPSHOT_BYTES;
        return invalid(format!("the snapshot of `{name}` has {} bytes, at most {most} fit", data.len()));
    }
    Ok(())
}

fn invalid<T>(what: String) -> Result<T, EventStoreError> {
    Err(EventStoreError::Invalid(what))
}

fn event(event: &NewEvent) -> Result<(), String> {
    check_topic(&event.topic).map_err(|error| format!("topic `{}`: {error}", event.topic))?;
    name("the type", &event.kind)?;
    let names = [("the id", &event.id), ("the correlation id", &event.correlation_id)];
    for (what, text) in names.into_iter().chain([("the causation id", &event.causation_id)]) {
        text.as_ref().map_or(Ok(()), |text| name(what, text))?;
    }
    json("its data", &event.data, limits::DATA_BYTES)?;
    let Some(metadata) = &event.metadata else { return Ok(()) };
    json("its metadata", metadata, limits::METADATA_BYTES)?;
    if metadata.trim_ascii_start().first() == Some(&b'{') {
        Ok(())
    } else {
        Err("its metadata is not a JSON object".to_owned())
    }
}

fn name(what: &str, text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > limits::NAME_BYTES || text.chars().any(char::is_control) {
        return Err(format!("{what} has 1 to {} bytes and no control characters", limits::NAME_BYTES));
    }
    Ok(())
}

fn json(what: &str, bytes: &[u8], most: usize) -> Result<(), String> {
    if bytes.len() > most {
        return Err(format!("{what} has {} bytes, at most {most} fit", bytes.len()));
    }
    serde_json::from_slice::<IgnoredAny>(bytes).map(drop).map_err(|error| format!("{what} is not JSON: {error}"))
}

/// Checks a filter.
pub(crate) fn filter(filter: &Filter) -> Result<(), EventStoreError> {
    if filter.kinds.len() > limits::FILTER_TYPES {
        return invalid(format!("{} types, at most {} fit into a filter", filter.kinds.len(), limits::FILTER_TYPES));
    }
    filter.category.as_ref().map_or(Ok(()), |category| stream(&format!("{category}-1")))?;
    let kinds = filter.kinds.iter().try_for_each(|kind| name("a type of the filter", kind));
    kinds.map_err(EventStoreError::Invalid)
}
