//! The course-creation saga: create, process-media, index, notify-admins. Its key is the saga's id.

use education::courses::types::{Course, Error};
use education::courses::{index, media, records};
use education::events::CourseCreated;
use education::exports::creation::{Guest, NewCourse, export};
use weft_guest::saga::{self, Saga};

const CREATE: &str = "education:courses/creation@1.0.0#create";

struct Creation;

impl Guest for Creation {
    async fn create(key: String, new_course: NewCourse) -> Result<Course, Error> {
        saga::run(CREATE, key, new_course, create).await
    }
}

async fn create(saga: Saga, new_course: NewCourse) -> Result<Course, Error> {
    let NewCourse { teacher_id, draft } = new_course;
    // The same in every run of the saga.
    let id = saga.uuid();
    let course = saga
        .step("create", |key| records::create(key, id.clone(), teacher_id.clone(), draft.clone()))
        .undo(|key, _| records::delete(key))
        .await?;
    saga.step("process-media", |key| media::process(key, id.clone())).undo(|key, _| media::remove(key)).await?;
    saga.step("index", |key| index::add(key, id.clone())).undo(|key, _| index::remove(key)).await?;

    let created = CourseCreated { course_id: id, course_title: course.title.clone(), teacher_id };
    let (notice, undone) = (created.notice(saga.key()), created.undone(saga.key()));
    saga.step("notify-admins", |key| notice.clone().publish(key))
        .undo(move |key, _| undone.clone().publish(format!("{key}/undo")))
        .await
        .map_err(Error::Unavailable)?;
    Ok(course)
}

export!(Creation with_types_in education::exports::creation::bindings);
weft_guest::resumable!(CREATE => create);
