//! education:courses/importing: creates published, free courses out of another system, many at once.

use courses_domain::course::Draft;
use courses_store::Course;
use education::exports::course_importing::{Error, Guest, NewCourse, export};
use weft_guest::ids;
use weft_guest::operation::{Effect, operation};
use weft_guest::sql::{Value, query_first};

const CREATE_MANY: &str = "education:courses/importing@1.0.0#create-many";
/// Courses of one call; each is two statements of its commit.
const MANY: usize = 500;

struct Importing;

impl Guest for Importing {
    async fn create_many(key: String, courses: Vec<NewCourse>) -> Result<u32, Error> {
        operation(CREATE_MANY, &key, &courses, async || {
            if courses.len() > MANY {
                return Err(Error::Invalid(format!("more than {MANY} courses in one call")));
            }
            let checked = courses.iter().map(checked).collect::<Result<Vec<_>, _>>()?;
            let new = u32::try_from(checked.len()).unwrap_or(u32::MAX).saturating_sub(there_already(&checked).await?);
            let store =
                |effect: Effect<u32, Error>, course: &Course| effect.then(course.insert("")).then(course.index(""));
            Ok(checked.iter().fold(Effect::answer(new), store))
        })
        .await
    }
}

fn checked(course: &NewCourse) -> Result<Course, Error> {
    let NewCourse { id, code, title, teacher_id, capacity } = course.clone();
    if !ids::is_uuid(&id) || !ids::is_uuid(&teacher_id) {
        return Err(Error::Invalid(format!("course {code}: an id is not a UUID")));
    }
    let draft = Draft { code, title, capacity, ..Draft::default() };
    let checked = draft.check().map_err(|error| Error::Invalid(format!("course {id}: {error}")))?;
    Ok(Course::new(id, &teacher_id, checked, true))
}

async fn there_already(courses: &[Course]) -> Result<u32, Error> {
    if courses.is_empty() {
        return Ok(0);
    }
    let places: Vec<String> = (1..=courses.len()).map(|number| format!("${number}")).collect();
    let text = format!("SELECT count(*) AS n FROM courses_courses WHERE id IN ({})", places.join(", "));
    let row = query_first(&text, courses.iter().map(|course| Value::from(&course.id)).collect()).await?;
    Ok(row.map(|row| row.count("n")).transpose()?.and_then(|count| u32::try_from(count).ok()).unwrap_or(0))
}

export!(Importing with_types_in education::exports::course_importing::bindings);
