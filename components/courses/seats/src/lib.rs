//! education:courses/seats: takes a seat, takes that back, and frees the seat of an enrollment that has ended. One
//! commit counts and takes, so that a course never has more seats taken than it has.

use courses_store::Course;
use education::exports::seats::{Error, Guest, Seat, export};
use weft_guest::operation::{Effect, operation, revoke};
use weft_guest::params;
use weft_guest::sql::sql;

const RESERVE: &str = "education:courses/seats@1.0.0#reserve";
const FREE: &str = "education:courses/seats@1.0.0#free";

struct Seats;

impl Guest for Seats {
    async fn reserve(key: String, course_id: String, student_id: String) -> Result<Seat, Error> {
        let input = (&course_id, &student_id);
        let reserved = operation(RESERVE, &key, &input, async || {
            // First, so that whoever holds a seat already is told so, also of a course that is full.
            let take = sql(
                "INSERT INTO courses_seats (course_id, student_id, reserved_by) VALUES ($1, $2, $3)",
                params![&course_id, &student_id, &key],
            );
            let count = sql(
                "UPDATE courses_courses SET seats_taken = seats_taken + 1 \
                 WHERE id = $1 AND published AND seats_taken < capacity",
                params![&course_id],
            );
            let seat = Seat { course_id: course_id.clone(), student_id: student_id.clone() };
            Ok(Effect::answer(seat).then_or(take, Error::AlreadyTaken).then_or(count.expect_rows(1), Error::Full))
        });
        match reserved.await {
            Err(refusal @ (Error::AlreadyTaken | Error::Full)) => Err(reason(refusal, &course_id).await?),
            other => other,
        }
    }

    async fn release(key: String) -> Result<(), Error> {
        let count = sql(
            "UPDATE courses_courses SET seats_taken = seats_taken - 1 \
             WHERE id = (SELECT course_id FROM courses_seats WHERE reserved_by = $1)",
            params![&key],
        );
        let give = sql("DELETE FROM courses_seats WHERE reserved_by = $1", params![&key]);
        revoke(RESERVE, &key, vec![count, give], Vec::new()).await.map(drop)
    }

    async fn free(key: String, course_id: String, student_id: String) -> Result<(), Error> {
        operation(FREE, &key, &(&course_id, &student_id), async || {
            let count = sql(
                "UPDATE courses_courses SET seats_taken = seats_taken - 1 WHERE id = $1 \
                 AND EXISTS (SELECT 1 FROM courses_seats WHERE course_id = $1 AND student_id = $2)",
                params![&course_id, &student_id],
            );
            let give = sql(
                "DELETE FROM courses_seats WHERE course_id = $1 AND student_id = $2",
                params![&course_id, &student_id],
            );
            Ok(Effect::answer(()).then(count).then(give))
        })
        .await
    }
}

/// What the refusal of a commit comes from. Courses that anybody knows of are never deleted and stay published, so that
/// what is read after the commit was so at the commit.
async fn reason(refusal: Error, course_id: &str) -> Result<Error, Error> {
    Ok(match (refusal, Course::load(course_id).await?) {
        (_, None) => Error::NotFound,
        (Error::Full, Some(course)) if !course.published => Error::NotPublished,
        (refusal, Some(_)) => refusal,
    })
}

export!(Seats with_types_in education::exports::seats::bindings);
