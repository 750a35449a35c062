//! education:courses/records: makes a course out of its description, unpublished, and takes that back. Whether the
//! prerequisites are courses is the caller's business, and who may do so as well.

use courses_domain::course::Draft;
use courses_store::Course as Stored;
use education::courses::types::{Course, Draft as Description};
use education::exports::course_records::{Error, Guest, export};
use weft_guest::ids;
use weft_guest::operation::{Effect, operation, revoke};
use weft_guest::params;
use weft_guest::sql::sql;

const CREATE: &str = "education:courses/records@1.0.0#create";

struct Records;

impl Guest for Records {
    async fn create(key: String, id: String, teacher_id: String, draft: Description) -> Result<Course, Error> {
        operation(CREATE, &key, &(&id, &teacher_id, &draft), async || {
            if !ids::is_uuid(&id) || !ids::is_uuid(&teacher_id) {
                return Err(Error::Invalid("an id is not a UUID".to_owned()));
            }
            let Description { code, title, description, capacity, price, currency, prerequisites } = draft.clone();
            let draft = Draft { code, title, description, capacity, price, currency, prerequisites };
            let checked = draft.check().map_err(|invalid| Error::Invalid(invalid.to_string()))?;
            let course = Stored::new(id.clone(), &teacher_id, checked, false);
            let insert = course.insert(&key).expect_rows(1);
            let refusal = Error::Invalid("there is a course with this id".to_owned());
            Ok(Effect::answer(shown(course)).then_or(insert, refusal))
        })
        .await
    }

    async fn delete(key: String) -> Result<(), Error> {
        let delete = sql("DELETE FROM courses_courses WHERE created_by = $1", params![&key]);
        revoke(CREATE, &key, vec![delete], Vec::new()).await.map(drop)
    }
}

fn shown(course: Stored) -> Course {
    // The domain permits far fewer.
    let seats = |count| u32::try_from(count).unwrap_or(u32::MAX);
    Course {
        capacity: seats(course.capacity),
        seats_taken: seats(course.seats_taken),
        id: course.id,
        code: course.code,
        title: course.title,
        description: course.description,
        teacher_id: course.teacher_id,
        price: course.price,
        currency: course.currency,
        prerequisites: course.prerequisites,
        published: course.published,
        created_at: course.created_at,
    }
}

export!(Records with_types_in education::exports::course_records::bindings);
