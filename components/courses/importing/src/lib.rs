//! education:courses/importing: creates published, free courses out of another system, many at once.

use std::collections::BTreeSet;

use courses_domain::course::Draft;
use courses_domain::lifecycle::Event;
use courses_store::Course;
use courses_store::history::History;
use education::exports::course_importing::{Error, Guest, NewCourse, export};
use weft_guest::ids;
use weft_guest::operation::{Effect, command};
use weft_guest::sql::{Value, query};

const CREATE_MANY: &str = "education:courses/importing@1.0.0#create-many";
/// Courses of one call; each is two statements and two events of its commit.
const MANY: usize = 500;

struct Importing;

impl Guest for Importing {
    async fn create_many(key: String, courses: Vec<NewCourse>) -> Result<u32, Error> {
        command(CREATE_MANY, &key, &courses, async || {
            if courses.len() > MANY {
                return Err(Error::Invalid(format!("more than {MANY} courses in one call")));
            }
            let mut checked = courses.iter().map(checked).collect::<Result<Vec<_>, _>>()?;
            checked.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
            checked.dedup_by(|(a, _), (b, _)| a.id == b.id);
            let known = there_already(&checked).await?;
            checked.retain(|(course, _)| !known.contains(&course.id));
            let new = u32::try_from(checked.len()).unwrap_or(u32::MAX);
            Ok(checked.into_iter().fold(Effect::answer(new), |effect, (course, made)| {
                let effect = effect.then(course.insert("")).then(course.index(""));
                History::none(&course.id).append(effect, &made)
            }))
        })
        .await
    }
}

/// The course, and what happens to it: it is made and published at once.
fn checked(course: &NewCourse) -> Result<(Course, Vec<Event>), Error> {
    let NewCourse { id, code, title, teacher_id, capacity } = course.clone();
    if !ids::is_uuid(&id) || !ids::is_uuid(&teacher_id) {
        return Err(Error::Invalid(format!("course {code}: an id is not a UUID")));
    }
    let draft = Draft { code, title, capacity, ..Draft::default() };
    let checked = draft.check().map_err(|error| Error::Invalid(format!("course {id}: {error}")))?;
    let created = Event::Created { teacher_id: teacher_id.clone(), course: Box::new(checked.clone()) };
    Ok((Course::new(id, &teacher_id, checked, true), vec![created, Event::Published]))
}

/// The ids of those that there are.
async fn there_already(courses: &[(Course, Vec<Event>)]) -> Result<BTreeSet<String>, Error> {
    if courses.is_empty() {
        return Ok(BTreeSet::new());
    }
    let places: Vec<String> = (1..=courses.len()).map(|number| format!("${number}")).collect();
    let text = format!("SELECT id FROM courses_courses WHERE id IN ({})", places.join(", "));
    let rows = query(&text, courses.iter().map(|(course, _)| Value::from(&course.id)).collect()).await?;
    Ok(rows.iter().map(|row| row.text("id")).collect::<Result<_, _>>()?)
}

export!(Importing with_types_in education::exports::course_importing::bindings);
