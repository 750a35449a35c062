//! Content as what has happened to it. It goes through its stages one by one, and back one by one where a step is
//! undone; commands are decided on what its events come to.

use crate::processing::Summary;
use crate::upload::Kind;

/// How far content has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// There is none.
    #[default]
    Absent,
    /// Its text is stored.
    Uploaded,
    /// Its summary is made.
    Processed,
    /// Searches find it.
    Indexed,
    /// Everybody who may read the course's content may read it.
    Published,
    /// A step refused it: what was done for it is to be taken back.
    Failed,
    /// It is gone, for good.
    Deleted,
}

/// What is uploaded, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Id of the course.
    pub course_id: String,
    /// Account of who uploads.
    pub author_id: String,
    /// One line.
    pub title: String,
    /// What it is.
    pub kind: Kind,
}

/// What processing makes of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For readers.
    pub summary: Summary,
    /// The words that a search finds it by, each once: more than the summary's terms, and not all of a long text.
    pub words: Vec<String>,
}

/// What somebody wants of content.
#[derive(Clone, Debug)]
pub enum Command {
    /// To store it.
    Upload(Upload),
    /// To keep what processing has made of it.
    Process(Box<Outcome>),
    /// To let searches find it.
    Index,
    /// To show it.
    Publish,
    /// To give it up.
    Fail(String),
    /// To take [`Command::Publish`] back.
    Withdraw,
    /// To take [`Command::Index`] back.
    Unindex,
    /// To take [`Command::Process`] back.
    Discard,
    /// To take [`Command::Upload`] back, and all that is left of the others.
    Delete,
}

/// What has happened to content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is stored.
    Uploaded(Upload),
    /// Its summary is made.
    Processed(Box<Outcome>),
    /// Searches find it.
    Indexed,
    /// It is shown.
    Published,
    /// It was given up, and why.
    Failed(String),
    /// It is shown no more.
    Withdrawn,
    /// Searches find it no more.
    Unindexed,
    /// Its summary is gone.
    Discarded,
    /// All of it is gone.
    Deleted,
}

/// Why nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is, or was, content with this id.
    Taken,
    /// There is no such content, or none any more.
    Unknown,
    /// It is at another stage than the one that this follows on.
    OutOfTurn(Stage),
}

/// What happens upon a command; nothing, if it is so already. What takes something back that is not so does nothing.
///
/// # Errors
/// Why it is not to happen.
pub fn decide(stage: Stage, command: Command) -> Result<Vec<Event>, Refused> {
    let forward = |from: Stage, event: Event| match stage {
        Stage::Absent | Stage::Deleted => Err(Refused::Unknown),
        stage if stage == from => Ok(vec![event]),
        stage if stage == evolve(from, &event) => Ok(Vec::new()),
        stage => Err(Refused::OutOfTurn(stage)),
    };
    let back = |from: Stage, event: Event| Ok(if stage == from { vec![event] } else { Vec::new() });
    match command {
        Command::Upload(upload) if stage == Stage::Absent => Ok(vec![Event::Uploaded(upload)]),
        Command::Upload(_) => Err(Refused::Taken),
        Command::Process(summary) => forward(Stage::Uploaded, Event::Processed(summary)),
        Command::Index => forward(Stage::Processed, Event::Indexed),
        Command::Publish => forward(Stage::Indexed, Event::Published),
        Command::Fail(why) => match stage {
            Stage::Absent | Stage::Deleted => Err(Refused::Unknown),
            Stage::Failed => Ok(Vec::new()),
            _ => Ok(vec![Event::Failed(why)]),
        },
        Command::Withdraw => back(Stage::Published, Event::Withdrawn),
        Command::Unindex => back(Stage::Indexed, Event::Unindexed),
        Command::Discard => back(Stage::Processed, Event::Discarded),
        Command::Delete if matches!(stage, Stage::Absent | Stage::Deleted) => Ok(Vec::new()),
        Command::Delete => Ok(vec![Event::Deleted]),
    }
}

/// The stage after an event.
#[must_use]
pub fn evolve(_: Stage, event: &Event) -> Stage {
    match event {
        Event::Uploaded(_) | Event::Discarded => Stage::Uploaded,
        Event::Processed(_) | Event::Unindexed => Stage::Processed,
        Event::Indexed | Event::Withdrawn => Stage::Indexed,
        Event::Published => Stage::Published,
        Event::Failed(_) => Stage::Failed,
        Event::Deleted => Stage::Deleted,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::processing::process;

    fn command(kind: u8) -> Command {
        let upload =
            Upload { course_id: "c".into(), author_id: "a".into(), title: "Parsing".into(), kind: Kind::Article };
        match kind {
            0 => Command::Upload(upload),
            1 => {
                let summary = process(Kind::Article, "A parser parses.").unwrap();
                Command::Process(Box::new(Outcome { summary, words: vec!["parser".into()] }))
            }
            2 => Command::Index,
            3 => Command::Publish,
            4 => Command::Fail("no words".into()),
            5 => Command::Withdraw,
            6 => Command::Unindex,
            7 => Command::Discard,
            _ => Command::Delete,
        }
    }

    #[test]
    fn content_comes_out_of_its_stages_in_turn_and_goes_back_in_turn() {
        let mut stage = Stage::Absent;
        let stages = [
            Stage::Uploaded,
            Stage::Processed,
            Stage::Indexed,
            Stage::Published,
            Stage::Indexed,
            Stage::Processed,
            Stage::Uploaded,
            Stage::Deleted,
        ];
        for (kind, wanted) in [0, 1, 2, 3, 5, 6, 7, 8].into_iter().zip(stages) {
            stage = decide(stage, command(kind)).unwrap().iter().fold(stage, evolve);
            assert_eq!(stage, wanted);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_no_stage_is_passed_over(asked in prop::collection::vec(0_u8..9, 0..40)) {
            let (mut stage, mut events) = (Stage::Absent, Vec::new());
            for kind in asked {
                let before = stage;
                let decided = decide(stage, command(kind));
                // Whatever is taken back may be taken back at any time.
                prop_assert!(kind < 5 || decided.is_ok());
                let decided = decided.unwrap_or_default();
                prop_assert!(decided.len() <= 1);
                for event in decided {
                    stage = evolve(stage, &event);
                    events.push(event);
                }
                let step = (stage as i8) - (before as i8);
                let ends = matches!(stage, Stage::Failed | Stage::Deleted);
                prop_assert!(step.abs() <= 1 || ends && before != Stage::Absent, "{before:?} to {stage:?}");
                prop_assert!(before != Stage::Deleted || stage == before);
                prop_assert!(before != Stage::Failed || ends, "what has failed can only be deleted");
            }
            prop_assert_eq!(events.iter().fold(Stage::Absent, evolve), stage);
            // What is shown was processed and indexed, and nothing of that was taken back since.
            if stage == Stage::Published {
                let count = |wanted: fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count();
                prop_assert_eq!(
                    count(|event| matches!(event, Event::Processed(_))),
                    count(|event| matches!(event, Event::Discarded)) + 1
                );
                prop_assert_eq!(
                    count(|event| matches!(event, Event::Indexed)),
                    count(|event| matches!(event, Event::Unindexed)) + 1
                );
            }
        }
    }
}
