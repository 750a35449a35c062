//! education:courses/records: makes a course out of its description, unpublished, and takes that back. Whether the
//! prerequisites are courses is the caller's business, and who may do so as well.

use courses_domain::course::Draft;
use courses_domain::lifecycle::{Command, decide};
use courses_store::Course as Stored;
use courses_store::history::History;
use education::courses::types::{Course, Draft as Description};
use education::exports::course_records::{Error, Guest, export};
use weft_guest::ids;
use weft_guest::operation::{Effect, command, undo};
use weft_guest::params;
use weft_guest::sql::{query_first, sql};

const CREATE: &str = "education:courses/records@1.0.0#create";

struct Records;

impl Guest for Records {
    async fn create(key: String, id: String, teacher_id: String, draft: Description) -> Result<Course, Error> {
        command(CREATE, &key, &(&id, &teacher_id, &draft), async || {
            if !ids::is_uuid(&id) || !ids::is_uuid(&teacher_id) {
                return Err(Error::Invalid("an id is not a UUID".to_owned()));
            }
            let Description { code, title, description, capacity, price, currency, prerequisites } = draft.clone();
            let draft = Draft { code, title, description, capacity, price, currency, prerequisites };
            let checked = draft.check().map_err(|invalid| Error::Invalid(invalid.to_string()))?;
            let taken = || Error::Invalid("there is a course with this id".to_owned());
            let history = History::load(&id).await?;
            let create = Command::Create { teacher_id: teacher_id.clone(), course: Box::new(checked.clone()) };
            let events = decide(&history.state, create).map_err(|_| taken())?;
            let course = Stored::new(id.clone(), &teacher_id, checked, false);
            let insert = course.insert(&key).expect_rows(1);
            Ok(history.append(Effect::answer(shown(course)).then_or(insert, taken()), &events))
        })
        .await
    }

    async fn delete(key: String) -> Result<(), Error> {
        undo(CREATE, &key, async || {
            let made = query_first("SELECT id FROM courses_courses WHERE created_by = $1", params![&key]).await?;
            let Some(made) = made else { return Ok(Effect::answer(())) };
            let history = History::load(&made.text("id")?).await?;
            // What takes back is refused to nobody.
            let events = decide(&history.state, Command::Undo).unwrap_or_default();
            let delete = sql("DELETE FROM courses_courses WHERE created_by = $1", params![&key]);
            Ok(history.append(Effect::answer(()).then(delete), &events))
        })
        .await
        .map(drop)
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
