//! What the operations of the courses context share: how courses stand in its event store ([`history`]), and how in the
//! tables that are kept of them in the same commits, and in JSON. Rules are the domain's; each operation decides what it
//! commits.

pub mod history;

use courses_domain::course::Viewer;
use courses_domain::{Invalid, course, search};
use serde::{Deserialize, Serialize};
use weft_guest::http::{Problem, User};
use weft_guest::sql::{Error, Row, Statement, query_first, sql};
use weft_guest::{clock, params};

/// A course, as the API shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Course {
    pub id: String,
    pub code: String,
    pub title: String,
    pub description: String,
    pub teacher_id: String,
    pub capacity: u64,
    /// Minor units of `currency`.
    pub price: u64,
    pub currency: String,
    pub prerequisites: Vec<String>,
    pub published: bool,
    pub seats_taken: u64,
    /// RFC 3339, UTC.
    pub created_at: String,
}

impl Course {
    /// The columns that [`Course::from_row`] reads.
    pub const COLUMNS: &str = "id, code, title, description, teacher_id, capacity, price, currency, prerequisites, \
                               published, seats_taken, created_at";

    /// A new course: nobody has a seat yet.
    pub fn new(id: String, teacher_id: &str, checked: course::Course, published: bool) -> Self {
        Self {
            id,
            code: checked.code,
            title: checked.title,
            description: checked.description,
            teacher_id: teacher_id.to_owned(),
            capacity: checked.capacity.into(),
            price: checked.price.amount,
            currency: checked.price.currency,
            prerequisites: checked.prerequisites,
            published,
            seats_taken: 0,
            created_at: clock::now_rfc3339(),
        }
    }

    /// The course out of a row with [`Course::COLUMNS`].
    pub fn from_row(row: &Row) -> Result<Self, Error> {
        let prerequisites = serde_json::from_str(&row.text("prerequisites")?)
            .map_err(|error| Error::Invalid(format!("column prerequisites: {error}")))?;
        Ok(Self {
            id: row.text("id")?,
            code: row.text("code")?,
            title: row.text("title")?,
            description: row.text("description")?,
            teacher_id: row.text("teacher_id")?,
            capacity: row.count("capacity")?,
            price: row.count("price")?,
            currency: row.text("currency")?,
            prerequisites,
            published: row.boolean("published")?,
            seats_taken: row.count("seats_taken")?,
            created_at: row.text("created_at")?,
        })
    }

    /// Reads a course; `None` if there is none.
    pub async fn load(id: &str) -> Result<Option<Self>, Error> {
        let text = format!("SELECT {} FROM courses_courses WHERE id = $1", Self::COLUMNS);
        query_first(&text, params![id]).await?.as_ref().map(Self::from_row).transpose()
    }

    /// Stores a new course, unless its id is there already. `by` is the key by which that is undone.
    pub fn insert(&self, by: &str) -> Statement {
        let prerequisites = serde_json::json!(self.prerequisites).to_string();
        sql(
            "INSERT INTO courses_courses (id, code, title, description, teacher_id, capacity, price, currency, \
             prerequisites, published, created_by, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
             ON CONFLICT (id) DO NOTHING",
            params![
                &self.id,
                &self.code,
                &self.title,
                &self.description,
                &self.teacher_id,
                self.capacity,
                self.price,
                &self.currency,
                prerequisites,
                self.published,
                by,
                &self.created_at,
            ],
        )
    }

    /// Lets searches find the course. `by` is the key by which that is undone.
    pub fn index(&self, by: &str) -> Statement {
        let body = search::text(&self.code, &self.title, &self.description);
        sql(
            "INSERT INTO courses_search (course_id, body, indexed_by) VALUES ($1, $2, $3) \
             ON CONFLICT (course_id) DO NOTHING",
            params![&self.id, body, by],
        )
    }
}

/// Who asks.
pub fn viewer(user: Option<&User>) -> Viewer<'_> {
    Viewer { id: user.map(|user| user.id.as_str()), admin: user.is_some_and(User::is_admin) }
}

/// 422 for a field that the domain refuses.
pub fn invalid(invalid: Invalid) -> Problem {
    Problem::invalid(invalid.field, invalid.reason)
}
