//! education:courses/media: draws the cover of a course, and takes that back.

use courses_domain::media::{COVER_TYPE, cover};
use courses_store::Course;
use education::exports::course_media::{Error, Guest, export};
use weft_guest::operation::{Effect, operation, revoke};
use weft_guest::params;
use weft_guest::sql::sql;

const PROCESS: &str = "education:courses/media@1.0.0#process";

struct Media;

impl Guest for Media {
    async fn process(key: String, course_id: String) -> Result<(), Error> {
        operation(PROCESS, &key, &course_id, async || {
            let course = Course::load(&course_id).await?.ok_or(Error::NotFound)?;
            let insert = sql(
                "INSERT INTO courses_media (course_id, kind, media_type, content, made_by) \
                 VALUES ($1, 'cover', $2, $3, $4)",
                params![&course.id, COVER_TYPE, cover(&course.code, &course.title), &key],
            );
            Ok(Effect::answer(()).then_or(insert, Error::NotFound))
        })
        .await
    }

    async fn remove(key: String) -> Result<(), Error> {
        let delete = sql("DELETE FROM courses_media WHERE made_by = $1", params![&key]);
        revoke(PROCESS, &key, vec![delete], Vec::new()).await.map(drop)
    }
}

export!(Media with_types_in education::exports::course_media::bindings);
