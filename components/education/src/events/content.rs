//! The events of content-processing. `uploaded`, `processed` and `indexed` drive the choreographed form; `published` and
//! `withdrawn` are for other contexts, in both forms.

use serde::{Deserialize, Serialize};
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
}

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
        }
    }
}

/// The data of each of these events: the text itself stays in its context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl Content {
    /// The event on its way out; `run` is the key of the saga, or the id of the choreographed run. Events about one
    /// content are delivered in order.
    pub fn notice(&self, happened: Happened, run: &str) -> Outgoing {
        let topic = happened.topic();
        Outgoing::new(topic, &format!("education.{topic}"), self)
            .subject(&self.content_id)
            .ordering_key(&self.content_id)
            .correlation_id(run)
    }
}
