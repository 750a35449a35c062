//! Which courses suit a student: gathers what is known of the student and of the courses; how well one suits is the
//! ranking's to say. Without the ranking the newest courses come as they are, and the answer says so.

use std::collections::HashMap;

use education::analytics::recommendations::{self, Candidate, Recommendation, Taken};
use education::analytics::suggestions::{Suggested, Suggestion};
use education::courses::catalog::{self, Course};
use education::enrollment::records::{self, Enrollment};
use weft_guest::Failure;

/// Courses that are looked at.
const CANDIDATES: u32 = 500;

/// Why nothing can be suggested.
#[derive(Debug)]
pub enum Error {
    /// A function that has to be asked does not answer.
    Unavailable(Failure),
    /// One answers what it should not.
    Internal(String),
}

/// At most `limit` courses for the student, the best first.
///
/// # Errors
/// [`Error`]; that the ranking is not there is none.
pub async fn suggest(student_id: String, limit: u32) -> Result<Suggested, Error> {
    let (courses, enrollments) = futures::join!(catalog::published(CANDIDATES), records::of_student(student_id));
    let courses = courses.map_err(|error| match error {
        catalog::Error::Unavailable(failure) => Error::Unavailable(failure),
        catalog::Error::NotFound => Error::Internal("the catalogue does not find itself".to_owned()),
    })?;
    let enrollments = enrollments.map_err(|error| match error {
        records::Error::Unavailable(failure) => Error::Unavailable(failure),
        other => Error::Internal(format!("{other:?}")),
    })?;
    let taken = taken(&courses, enrollments).await?;
    let candidates: Vec<Candidate> = courses.iter().map(candidate).collect();
    match recommendations::rank(&taken, &candidates, limit) {
        Ok(ranked) => Ok(Suggested { items: named(&courses, ranked), ranked: true }),
        Err(recommendations::Error::Invalid(why)) => Err(Error::Internal(why)),
        Err(recommendations::Error::Unavailable(_)) => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            Ok(Suggested { items: newest(&courses, &taken, limit), ranked: false })
        }
    }
}

/// What the student is in or has completed. A course may not be among the newest, or not be published any more.
async fn taken(courses: &[Course], enrollments: Vec<Enrollment>) -> Result<Vec<Taken>, Error> {
    let by_id: HashMap<&str, &Course> = courses.iter().map(|course| (course.id.as_str(), course)).collect();
    let mut taken = Vec::new();
    for Enrollment { course_id, status, .. } in enrollments.into_iter().filter(|one| one.status != "cancelled") {
        let course = match by_id.get(course_id.as_str()) {
            Some(course) => (*course).clone(),
            None => match catalog::get(course_id).await {
                Ok(course) => course,
                Err(catalog::Error::NotFound) => continue,
                Err(catalog::Error::Unavailable(failure)) => return Err(Error::Unavailable(failure)),
            },
        };
        let Course { id: course_id, title, description, .. } = course;
        taken.push(Taken { course_id, title, description, completed: status == "completed" });
    }
    Ok(taken)
}

fn candidate(course: &Course) -> Candidate {
    let Course { id: course_id, title, description, prerequisites, capacity, seats_taken, .. } = course.clone();
    Candidate { course_id, title, description, prerequisites, capacity, seats_taken }
}

fn named(courses: &[Course], ranked: Vec<Recommendation>) -> Vec<Suggestion> {
    let titles: HashMap<&str, &str> =
        courses.iter().map(|course| (course.id.as_str(), course.title.as_str())).collect();
    let item = |one: Recommendation| {
        let title = titles.get(one.course_id.as_str()).copied().unwrap_or_default().to_owned();
        Suggestion { course_id: one.course_id, title, score: Some(one.score), reasons: one.reasons }
    };
    ranked.into_iter().map(item).collect()
}

/// Courses that are not taken and have a seat.
fn newest(courses: &[Course], taken: &[Taken], limit: usize) -> Vec<Suggestion> {
    let is_open =
        |course: &&Course| course.seats_taken < course.capacity && taken.iter().all(|one| one.course_id != course.id);
    let item = |course: &Course| Suggestion {
        course_id: course.id.clone(),
        title: course.title.clone(),
        score: None,
        reasons: Vec::new(),
    };
    courses.iter().filter(is_open).take(limit).map(item).collect()
}
