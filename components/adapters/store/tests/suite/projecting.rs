//! Projections: what they have not seen, and that a batch is applied once.

use adapter_settings::{Projection, Settings, Source};
use adapter_store::bindings::weft::events::types::ExpectedVersion;
use adapter_store::bindings::weft::sql::types::Value;
use adapter_store::{Outgoing, SourceEvent};

use crate::harness::*;

fn with(projection: Projection) -> (File, Clock, Settings) {
    (File::new(), Clock::default(), Settings { projections: vec![projection], ..settings() })
}

fn data(events: &[SourceEvent]) -> Vec<&str> {
    events.iter().map(|event| std::str::from_utf8(&event.data).unwrap()).collect()
}

fn from_context() -> Projection {
    projection("c", "p", Source::Context("tests".to_owned()))
}

#[test]
fn a_batch_and_its_checkpoint_land_together() {
    let (file, clock, settings) = with(from_context());
    let mut store = file.open(&clock, settings.clone()).unwrap();
    assert_eq!(store.pending("c", "p"), Ok((vec![], 0)));
    append_one(&mut store, append("model-1", ExpectedVersion::Any, 0..3)).unwrap();
    assert_eq!(store.due(|_, _| Ok(false)), Ok(vec!["c".to_owned()]));
    let (events, position) = store.pending("c", "p").unwrap();
    assert_eq!((data(&events), position), (vec!["0", "1"], 2));
    let first = &events[0];
    assert_eq!((first.topic.as_str(), first.subject.as_deref()), ("tested.made", Some("model-1")));
    let wrong = store.project("c", "p", position, vec![effect("p", 1), expecting(effect("p", 2), 5)]);
    assert!(wrong.is_err());
    assert_eq!(effects(&mut store, "p"), Value::Int64(0));
    let (events, position) = store.pending("c", "p").unwrap();
    assert_eq!((data(&events), position), (vec!["0", "1"], 2), "it stands where it stood");
    store.project("c", "p", position, vec![effect("p", 1)]).unwrap();
    assert!(store.project("c", "p", position, vec![effect("p", 1)]).is_err(), "a batch is applied once");
    let mut again = file.open(&clock, settings).unwrap();
    assert_eq!(data(&again.pending("c", "p").unwrap().0), ["2"]);
    again.project("c", "p", 3, vec![]).unwrap();
    assert_eq!(again.due(|_, _| Ok(false)), Ok(vec![]));
    assert_eq!(effects(&mut again, "p"), Value::Int64(1));
}

#[test]
fn of_two_pumps_one_goes_on() {
    let (file, clock, settings) = with(from_context());
    let mut first = file.open(&clock, settings.clone()).unwrap();
    let mut second = file.open(&clock, settings).unwrap();
    append_one(&mut first, append("model-1", ExpectedVersion::Any, 0..2)).unwrap();
    assert_eq!(first.pending("c", "p").unwrap(), second.pending("c", "p").unwrap());
    first.project("c", "p", 2, vec![effect("p", 1)]).unwrap();
    assert!(second.project("c", "p", 2, vec![effect("p", 1)]).is_err());
    assert_eq!(effects(&mut second, "p"), Value::Int64(1));
}

#[test]
fn a_source_has_its_own_events_alone() {
    let typed = Projection { types: vec!["wanted".to_owned()], ..from_context() };
    let (file, clock, settings) = with(typed);
    let mut store = file.open(&clock, settings).unwrap();
    let mut foreign = append("model-1", ExpectedVersion::Any, 0..4);
    foreign.events[1].type_ = "wanted".to_owned();
    foreign.events[2].type_ = "wanted".to_owned();
    foreign.events[2].topic = Some("elsewhere.made".to_owned());
    append_one(&mut store, foreign).unwrap();
    let (events, position) = store.pending("c", "p").unwrap();
    assert_eq!((data(&events), position), (vec!["1"], 4), "another context's event is none of its own");
    store.project("c", "p", position, vec![]).unwrap();
    append_one(&mut store, append("model-1", ExpectedVersion::Any, 4..6)).unwrap();
    assert_eq!(store.pending("c", "p"), Ok((vec![], 6)), "what is none of its own is passed over");
    append_one(&mut store, append("model-1", ExpectedVersion::Any, 6..8)).unwrap();
    assert_eq!(store.due(|_, _| Ok(false)), Ok(vec![]), "and calls nobody");
    assert_eq!(store.pending("c", "p"), Ok((vec![], 8)));
    assert_eq!(store.due(|_, _| Ok(false)), Ok(vec![]));
}

#[test]
fn topics_are_a_source_too() {
    let (file, clock, settings) = with(projection("c", "p", Source::Topic("tested.*".to_owned())));
    let mut store = file.open(&clock, settings).unwrap();
    let events: Vec<_> = [("tested.a", "1"), ("other.a", "2"), ("tested.b", "3")]
        .iter()
        .map(|(topic, data)| Outgoing { id: None, event: outgoing(topic, data) })
        .collect();
    store.publish(&events).unwrap();
    let (events, position) = store.pending("c", "p").unwrap();
    assert_eq!((data(&events), position), (vec!["1", "3"], 3));
}

#[test]
fn another_version_is_refused() {
    let (file, clock, mut settings) = with(from_context());
    drop(file.open(&clock, settings.clone()).unwrap());
    settings.projections[0].version = 2;
    let refused = file.open(&clock, settings).unwrap().pending("c", "p").unwrap_err();
    assert!(refused.contains("version 1") && refused.contains("c/p"), "{refused}");
}
