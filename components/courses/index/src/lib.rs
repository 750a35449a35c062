//! education:courses/index: lets searches find a course, and takes that back.

use courses_store::Course;
use education::exports::course_index::{Error, Guest, export};
use weft_guest::operation::{Effect, operation, revoke};
use weft_guest::params;
use weft_guest::sql::sql;

const ADD: &str = "education:courses/index@1.0.0#add";

struct Index;

impl Guest for Index {
    async fn add(key: String, course_id: String) -> Result<(), Error> {
        operation(ADD, &key, &course_id, async || {
            let course = Course::load(&course_id).await?.ok_or(Error::NotFound)?;
            Ok(Effect::answer(()).then_or(course.index(&key), Error::NotFound))
        })
        .await
    }

    async fn remove(key: String) -> Result<(), Error> {
        let delete = sql("DELETE FROM courses_search WHERE indexed_by = $1", params![&key]);
        revoke(ADD, &key, vec![delete], Vec::new()).await.map(drop)
    }
}

export!(Index with_types_in education::exports::course_index::bindings);
