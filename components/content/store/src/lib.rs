//! What the operations of the content context share: how content stands in its event store ([`history`]), how in the
//! tables that are kept of it in the same commits and in JSON ([`Content`]), and how choreographed runs go on ([`runs`]).
//! Rules are the domain's; each operation decides what it commits.

pub mod history;
pub mod runs;

use content_domain::Invalid;
use content_domain::access::Asked;
use education::content::types::Error;
use education::courses::catalog;
use serde::Serialize;
use weft_guest::http::{Problem, User};
use weft_guest::params;
use weft_guest::sql::{self, Row, query, query_first};

/// Content, as the API shows it. What processing makes of it is there once it is processed.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Content {
    pub id: String,
    pub course_id: String,
    pub author_id: String,
    pub title: String,
    pub kind: String,
    pub status: String,
    pub words: Option<u64>,
    pub minutes: Option<u64>,
    pub excerpt: Option<String>,
    /// RFC 3339, UTC.
    pub created_at: String,
}

impl Content {
    /// What [`Content::from_row`] reads from.
    pub const SELECT: &str = "SELECT id, course_id, author_id, title, kind, status, words, minutes, excerpt, created_at \
                              FROM content_contents LEFT JOIN content_results ON content_id = id";

    /// The content out of a row of [`Content::SELECT`].
    pub fn from_row(row: &Row) -> Result<Self, sql::Error> {
        let count = |column| Ok::<_, sql::Error>(row.optional_int(column)?.and_then(|count| u64::try_from(count).ok()));
        Ok(Self {
            id: row.text("id")?,
            course_id: row.text("course_id")?,
            author_id: row.text("author_id")?,
            title: row.text("title")?,
            kind: row.text("kind")?,
            status: row.text("status")?,
            words: count("words")?,
            minutes: count("minutes")?,
            excerpt: row.optional_text("excerpt")?,
            created_at: row.text("created_at")?,
        })
    }

    /// Reads content; `None` if there is none.
    pub async fn load(id: &str) -> Result<Option<Self>, sql::Error> {
        let row = query_first(&format!("{} WHERE id = $1", Self::SELECT), params![id]).await?;
        row.as_ref().map(Self::from_row).transpose()
    }

    /// Reads content for a step: without it there is nothing to do.
    pub async fn wanted(id: &str) -> Result<Self, Error> {
        Self::load(id).await?.ok_or(Error::NotFound)
    }

    /// The text; empty if there is no such content.
    pub async fn text(id: &str) -> Result<String, sql::Error> {
        let row = query_first("SELECT text FROM content_contents WHERE id = $1", params![id]).await?;
        row.map_or(Ok(String::new()), |row| row.text("text"))
    }

    /// The terms by which it is found, the most frequent first.
    pub async fn terms(id: &str) -> Result<Vec<String>, sql::Error> {
        let rows = query("SELECT term FROM content_terms WHERE content_id = $1 ORDER BY place", params![id]).await?;
        rows.iter().map(|row| row.text("term")).collect()
    }

    /// Whether everybody who may read the course's content may read this.
    pub fn is_published(&self) -> bool {
        self.status == "published"
    }
}

/// The course of that id, or 404.
pub async fn course(id: &str) -> Result<catalog::Course, Problem> {
    catalog::get(id.to_owned()).await.map_err(|error| match error {
        catalog::Error::NotFound => Problem::not_found("course"),
        catalog::Error::Unavailable(failure) => failure.into(),
    })
}

/// Who asks about the content of a course.
pub fn asked<'a>(user: &'a User, course: &'a catalog::Course) -> Asked<'a> {
    let (user_id, teacher_id) = (user.id.as_str(), course.teacher_id.as_str());
    Asked { user_id, admin: user.is_admin(), teacher_id, course_published: course.published }
}

/// 422 for a field that the domain refuses.
pub fn invalid(invalid: Invalid) -> Problem {
    Problem::invalid(invalid.field, invalid.reason)
}
