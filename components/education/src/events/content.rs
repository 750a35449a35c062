//! The events of content: those of its stream, and those of content-processing, which are the same. Where `uploaded`,
//! `processed` and `indexed` drive the choreographed form, they go to topics of its own; `published` and `withdrawn` do so
//! in both forms, for other contexts. Otherwise an event is published under its type.

use serde::{Deserialize, Serialize};
use weft_guest::events::NewEvent;
use weft_guest::messaging::Outgoing;

/// What happened to content. All events of one run have the run's id for a correlation id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It is stored, and waits to be processed.
    Uploaded,
    /// Its summary is made.
    Processed,
    /// A search finds it.
    Indexed,
    /// Everybody may read it: the end of a run.
    Published,
    /// A step refused it: what was done for it is to be taken back.
    Failed,
    /// It is published no more, because the saga did not come to its end.
    Withdrawn,
    /// Searches find it no more, because the saga did not come to its end.
    Unindexed,
    /// Its summary is gone, because the saga did not come to its end.
    Discarded,
    /// All of it is gone.
    Deleted,
}

const ALL: [Happened; 9] = [
    Happened::Uploaded,
    Happened::Processed,
    Happened::Indexed,
    Happened::Published,
    Happened::Failed,
    Happened::Withdrawn,
    Happened::Unindexed,
    Happened::Discarded,
    Happened::Deleted,
];

impl Happened {
    /// The topic.
    pub fn topic(self) -> &'static str {
        match self {
            Self::Uploaded => "content.uploaded",
            Self::Processed => "content.processed",
            Self::Indexed => "content.indexed",
            Self::Published => "content.published",
            Self::Failed => "content.failed",
            Self::Withdrawn => "content.withdrawn",
            Self::Unindexed => "content.unindexed",
            Self::Discarded => "content.discarded",
            Self::Deleted => "content.deleted",
        }
    }

    /// The CloudEvents type.
    pub fn kind(self) -> String {
        format!("education.{}", self.topic())
    }

    /// What an event of that type says; `None` if it is not about content.
    pub fn parse(kind: &str) -> Option<Self> {
        let topic = kind.strip_prefix("education.")?;
        ALL.into_iter().find(|happened| happened.topic() == topic)
    }
}

/// The data of each of these events: the text itself stays in its context.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Id of the content.
    pub content_id: String,
    /// Id of its course.
    pub course_id: String,
    /// Account id of who uploaded it.
    pub author_id: String,
    /// Its title, for the notification's text.
    pub content_title: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// article or video, where it was uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What was made of it, where it was processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// What processing makes of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// How many words it has.
    pub words: u32,
    /// To read it or to hear it said.
    pub minutes: u32,
    /// The beginning.
    pub excerpt: String,
    /// The most frequent terms, the most frequent first.
    pub terms: Vec<Term>,
    /// The words that a search finds it by.
    pub found_by: Vec<String>,
}

/// A word and how often it stands in a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// In lower case.
    pub term: String,
    /// At least 1.
    pub occurrences: u32,
}

impl Content {
    /// The event on its way into the content's stream, published under its type.
    pub fn event(&self, happened: Happened) -> NewEvent {
        NewEvent::new(&happened.kind(), self)
    }

    /// The event on its way out; `run` is the key of the saga, or the id of the choreographed run. Events about one
    /// content are delivered in order.
    pub fn notice(&self, happened: Happened, run: &str) -> Outgoing {
        let topic = happened.topic();
        Outgoing::new(topic, &happened.kind(), self)
            .subject(&self.content_id)
            .ordering_key(&self.content_id)
            .correlation_id(run)
    }
}
