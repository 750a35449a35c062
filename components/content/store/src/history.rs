//! Content in the event store: its events are read back for the domain to decide on, and what it decides is appended.
//! Content that was uploaded before its events were kept is taken over as it stands, with the next command.

use content_domain::lifecycle::{Command, Event, Outcome, Refused, Stage, Upload, decide, evolve};
use content_domain::processing;
use content_domain::upload::Kind;
use education::content::types::Error;
use education::events::content::{self as events, Happened};
use education::events::facts::{content_stream, unknown};
use weft_guest::events::{ExpectedVersion, NewEvent, RecordedEvent, fold};
use weft_guest::operation::Effect;
use weft_guest::params;
use weft_guest::sql::{self, query_first};

use crate::Content;

/// Where events are published.
#[derive(Clone, Copy, Debug)]
pub enum Route<'a> {
    /// Under their types: for whoever follows what happens.
    Facts,
    /// To the topics that the steps of a choreographed run and other contexts listen to; the run's id.
    Notices(&'a str),
}

/// What the events of content come to.
#[derive(Debug)]
pub struct History {
    /// How far it has come.
    pub stage: Stage,
    about: events::Content,
    version: u64,
    /// What content from before has done already.
    taken_over: Vec<Event>,
}

impl History {
    /// Reads the events of content.
    ///
    /// # Errors
    /// As the database says.
    pub async fn load(id: &str) -> Result<Self, sql::Error> {
        let none = (Stage::Absent, events::Content { content_id: id.to_owned(), ..events::Content::default() });
        let ((stage, about), version) = fold(&content_stream(id), none, |(stage, about), event| {
            let read = read(event)?;
            Ok((evolve(stage, &read), told(about, &read)))
        })
        .await?;
        let mut history = Self { stage, about, version, taken_over: Vec::new() };
        if version == 0
            && let Some(content) = Content::load(id).await?
        {
            history.taken_over = from_before(content).await?;
            for event in &history.taken_over {
                history.stage = evolve(history.stage, event);
                history.about = told(history.about, event);
            }
        }
        Ok(history)
    }

    /// Lets what happens upon a command land with an effect, if nobody appends first. Answers whether anything happens.
    ///
    /// # Errors
    /// What the domain refuses.
    pub fn apply<T, E>(
        self,
        effect: Effect<T, E>,
        command: Command,
        route: Route<'_>,
    ) -> Result<(Effect<T, E>, bool), Error> {
        let decided = decide(self.stage, command).map_err(refused)?;
        if decided.is_empty() {
            return Ok((effect, false));
        }
        let mut about = self.about;
        let mut append = Vec::new();
        for event in &self.taken_over {
            append.push(written(&about, event, Route::Facts));
        }
        for event in &decided {
            about = told(about, event);
            append.push(written(&about, event, route));
        }
        let expected = ExpectedVersion::after(self.version);
        Ok((effect.append(&content_stream(&about.content_id), expected, append), true))
    }
}

fn refused(refused: Refused) -> Error {
    match refused {
        Refused::Taken => Error::Invalid("there is content with this id".to_owned()),
        Refused::Unknown | Refused::OutOfTurn(_) => Error::NotFound,
    }
}

/// What is known of the content with an event.
fn told(about: events::Content, event: &Event) -> events::Content {
    match event {
        Event::Uploaded(Upload { course_id, author_id, title, .. }) => events::Content {
            course_id: course_id.clone(),
            author_id: author_id.clone(),
            content_title: title.clone(),
            ..about
        },
        _ => about,
    }
}

fn written(about: &events::Content, event: &Event, route: Route<'_>) -> NewEvent {
    let mut data = about.clone();
    let happened = match event {
        Event::Uploaded(upload) => {
            data.kind = Some(upload.kind.name().to_owned());
            Happened::Uploaded
        }
        Event::Processed(outcome) => {
            data.summary = Some(summary(outcome));
            Happened::Processed
        }
        Event::Failed(reason) => {
            data.reason = Some(reason.clone());
            Happened::Failed
        }
        Event::Indexed => Happened::Indexed,
        Event::Published => Happened::Published,
        Event::Withdrawn => Happened::Withdrawn,
        Event::Unindexed => Happened::Unindexed,
        Event::Discarded => Happened::Discarded,
        Event::Deleted => Happened::Deleted,
    };
    match route {
        Route::Facts => data.event(happened),
        Route::Notices(run) => data.event(happened).topic(happened.topic()).correlation_id(run),
    }
}

fn summary(outcome: &Outcome) -> events::Summary {
    let Outcome { summary, words } = outcome.clone();
    let term = |term: processing::Term| events::Term { term: term.term, occurrences: term.occurrences };
    events::Summary {
        words: summary.words,
        minutes: summary.minutes,
        excerpt: summary.excerpt,
        terms: summary.terms.into_iter().map(term).collect(),
        found_by: words,
    }
}

fn read(event: &RecordedEvent) -> Result<Event, sql::Error> {
    let unknown = || unknown(&event.stream, &event.type_);
    Ok(match Happened::parse(&event.type_).ok_or_else(unknown)? {
        Happened::Uploaded => {
            let data: events::Content = event.decode()?;
            let kind = Kind::parse(data.kind.as_deref().unwrap_or_default()).map_err(|_| unknown())?;
            let events::Content { course_id, author_id, content_title: title, .. } = data;
            Event::Uploaded(Upload { course_id, author_id, title, kind })
        }
        Happened::Processed => {
            let data: events::Content = event.decode()?;
            let events::Summary { words, minutes, excerpt, terms, found_by } = data.summary.ok_or_else(unknown)?;
            let term = |term: events::Term| processing::Term { term: term.term, occurrences: term.occurrences };
            let terms = terms.into_iter().map(term).collect();
            let summary = processing::Summary { words, minutes, excerpt, terms };
            Event::Processed(Box::new(Outcome { summary, words: found_by }))
        }
        Happened::Failed => Event::Failed(event.decode::<events::Content>()?.reason.unwrap_or_default()),
        Happened::Indexed => Event::Indexed,
        Happened::Published => Event::Published,
        Happened::Withdrawn => Event::Withdrawn,
        Happened::Unindexed => Event::Unindexed,
        Happened::Discarded => Event::Discarded,
        Happened::Deleted => Event::Deleted,
    })
}

/// What has happened to content, as far as its rows say.
async fn from_before(content: Content) -> Result<Vec<Event>, sql::Error> {
    let published = content.is_published();
    let Content { id, course_id, author_id, title, kind, words, minutes, excerpt, .. } = content;
    let kind = Kind::parse(&kind).map_err(|error| sql::Error::Invalid(format!("content {id}: {error}")))?;
    let mut events = vec![Event::Uploaded(Upload { course_id, author_id, title, kind })];
    let (Some(words), Some(minutes), Some(excerpt)) = (words, minutes, excerpt) else { return Ok(events) };
    let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
    let found_by = Content::terms(&id).await?;
    let terms = found_by.iter().map(|term| processing::Term { term: term.clone(), occurrences: 1 }).collect();
    let summary = processing::Summary { words: count(words), minutes: count(minutes), excerpt, terms };
    events.push(Event::Processed(Box::new(Outcome { summary, words: found_by })));
    let indexed = query_first("SELECT term FROM content_index WHERE content_id = $1 LIMIT 1", params![&id]).await?;
    if published || indexed.is_some() {
        events.push(Event::Indexed);
    }
    if published {
        events.push(Event::Published);
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let upload = |title: &str| Upload {
            course_id: "c".into(),
            author_id: "a".into(),
            title: title.into(),
            kind: Kind::Video,
        };
        let summary = processing::process(Kind::Video, "A parser parses.").unwrap();
        let outcome = Outcome { summary, words: vec!["parser".into()] };
        let events = [
            Event::Uploaded(upload("Parsing")),
            Event::Processed(Box::new(outcome)),
            Event::Indexed,
            Event::Published,
            Event::Failed("why".into()),
            Event::Withdrawn,
            Event::Unindexed,
            Event::Discarded,
            Event::Deleted,
        ];
        let mut about = events::Content { content_id: "i".into(), ..events::Content::default() };
        for (event, route) in events.iter().flat_map(|event| [(event, Route::Facts), (event, Route::Notices("r"))]) {
            about = told(about, event);
            let NewEvent { type_, data, topic, correlation_id, .. } = written(&about, event, route);
            assert_eq!(topic.is_some(), matches!(route, Route::Notices(_)));
            assert_eq!(correlation_id.is_some(), topic.is_some());
            let recorded = RecordedEvent {
                position: 1,
                stream: content_stream("i"),
                version: 1,
                id: "e".into(),
                type_,
                time_ms: 0,
                correlation_id: None,
                causation_id: None,
                metadata: None,
                data,
            };
            assert_eq!(&read(&recorded).unwrap(), event);
            assert_eq!(recorded.decode::<events::Content>().unwrap().content_title, "Parsing");
        }
    }
}
