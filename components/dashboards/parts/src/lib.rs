//! The parts that dashboards are made of. Each is fetched by itself and in its own time: one that fails is null in the
//! answer, which names it among its errors, and the others are served. What a dashboard shows is its own business.

use std::collections::BTreeMap;
use std::pin::pin;

use education::analytics::suggestions::{self, Suggested};
use education::assessment::results;
use education::courses::catalog;
use education::enrollment::records::{self, Enrollment};
use education::notifications::inbox;
use futures::future::{Either, join_all, select};
use serde::Serialize;
use weft_guest::failure::Fallible;
use weft_guest::{Failure, clock};

pub use education::analytics::suggestions::Suggestion;
pub use education::courses::catalog::Course;
pub use education::notifications::inbox::Notice;

/// How long a part may take, in milliseconds.
const PART_MS: u64 = 1_000;
/// How long the ranking may take: it is the only part that computes much.
const RANKING_MS: u64 = 2_500;
/// Enrollments whose courses are named.
const NAMED_MAX: usize = 50;
/// The part with the results of courses.
const RESULTS: &str = "results";

/// Why a part is missing, for the client: nothing of what a function or a database said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartError {
    /// The member of the answer that is null or incomplete.
    pub part: &'static str,
    /// As in a problem document.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// In words.
    pub title: &'static str,
    /// Whether it can be there the next time.
    pub retry: bool,
    /// After how many milliseconds at the earliest, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
}

/// The errors of an answer.
#[derive(Debug, Default)]
pub struct Errors(Vec<PartError>);

impl Errors {
    /// The part, or its error noted.
    pub fn part<T>(&mut self, fetched: Result<T, PartError>) -> Option<T> {
        fetched.map_err(|error| self.0.push(error)).ok()
    }

    /// In the order in which they were noted.
    #[must_use]
    pub fn into_list(self) -> Vec<PartError> {
        self.0
    }
}

/// An enrollment with the course's title.
#[derive(Clone, Debug, Serialize)]
pub struct Enrolled {
    /// The enrollment.
    pub id: String,
    /// Its course.
    pub course_id: String,
    /// Null where the catalogue does not answer; the errors then name `titles`.
    pub title: Option<String>,
    /// `active`, `completed` or `cancelled`.
    pub status: String,
}

/// How the submissions of a course that the student is in were marked.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// The course.
    pub course_id: String,
    /// All submissions.
    pub submitted: u64,
    /// Those with a score.
    pub scored: u64,
    /// Of the scores; null where there is none.
    pub average: Option<f64>,
    /// Those that have passed.
    pub passed: u64,
}

/// What hangs together because each is asked by what the one before has answered.
#[derive(Debug)]
pub struct Taken {
    /// The newest first.
    pub enrollments: Option<Vec<Enrolled>>,
    /// Of their courses that have submissions, by their codes.
    pub results: Option<Vec<Results>>,
    errors: Vec<PartError>,
}

impl Taken {
    /// Both parts, their errors noted.
    pub fn noted(self, errors: &mut Errors) -> (Option<Vec<Enrolled>>, Option<Vec<Results>>) {
        errors.0.extend(self.errors);
        (self.enrollments, self.results)
    }
}

/// The student's enrollments that `wanted` says, at most `limit`, with the titles of their courses, and how the submissions of these
/// were marked. One error stands for all titles that are missing; results of courses that the catalogue does not name are missing, too.
pub async fn taken(student_id: &str, limit: usize, wanted: impl Fn(&Enrollment) -> bool) -> Taken {
    let enrollments = match enrollments(student_id, limit, wanted).await {
        Ok(enrollments) => enrollments,
        Err(error) => {
            let errors = vec![error.clone(), PartError { part: RESULTS, ..error }];
            return Taken { enrollments: None, results: None, errors };
        }
    };
    let courses =
        join_all(enrollments.iter().map(|one| within("titles", PART_MS, catalog::get(one.course_id.clone()))));
    let courses = courses.await;
    let (mut missing, mut codes, mut named) = (None, BTreeMap::new(), Vec::new());
    for (enrollment, course) in enrollments.into_iter().zip(courses) {
        let Enrollment { id, course_id, status, .. } = enrollment;
        let course = course.map_err(|error| missing = Some(error)).ok();
        let title = course.map(|course| {
            codes.insert(course.code, course_id.clone());
            course.title
        });
        named.push(Enrolled { id, course_id, title, status });
    }
    let results = match &missing {
        Some(error) if codes.is_empty() => Err(error.clone()),
        _ => results(codes).await,
    };
    let mut errors: Vec<PartError> = missing.iter().cloned().collect();
    errors
        .extend(results.as_ref().err().or(missing.as_ref()).map(|error| PartError { part: RESULTS, ..error.clone() }));
    Taken { enrollments: Some(named), results: results.ok(), errors }
}

async fn enrollments(
    student_id: &str,
    limit: usize,
    wanted: impl Fn(&Enrollment) -> bool,
) -> Result<Vec<Enrollment>, PartError> {
    let fetched = within("enrollments", PART_MS, records::of_student(student_id.to_owned())).await?;
    let mut wanted: Vec<Enrollment> = fetched.into_iter().filter(wanted).collect();
    // Ids are UUIDv7: their order is that of time.
    wanted.sort_unstable_by(|one, other| other.id.cmp(&one.id));
    wanted.truncate(limit.min(NAMED_MAX));
    Ok(wanted)
}

/// The results of courses by their codes, which lead to their ids.
async fn results(mut codes: BTreeMap<String, String>) -> Result<Vec<Results>, PartError> {
    if codes.is_empty() {
        return Ok(Vec::new());
    }
    let tallies = within(RESULTS, PART_MS, results::of_courses(codes.keys().cloned().collect())).await?;
    let of_course = |tally: results::Tally| {
        let results::Tally { course, submitted, scored, average, passed } = tally;
        Some(Results { course_id: codes.remove(&course)?, submitted, scored, average, passed })
    };
    Ok(tallies.into_iter().filter_map(of_course).collect())
}

/// The newest courses that are published.
///
/// # Errors
/// Why there are none.
pub async fn courses(limit: u32) -> Result<Vec<Course>, PartError> {
    within("courses", PART_MS, catalog::published(limit)).await
}

/// What the user was told last.
///
/// # Errors
/// Why there is nothing.
pub async fn notifications(user_id: &str, limit: u32) -> Result<Vec<Notice>, PartError> {
    within("notifications", PART_MS, inbox::recent(user_id.to_owned(), limit)).await
}

/// The courses that suit the student.
///
/// # Errors
/// Why there are none.
pub async fn recommendations(student_id: &str, limit: u32) -> Result<Suggested, PartError> {
    within("recommendations", RANKING_MS, suggestions::for_student(student_id.to_owned(), limit)).await
}

/// The answer of a call, if it comes in time. A call that is given up is dropped, which ends it.
async fn within<T, E: Fallible>(
    part: &'static str,
    limit_ms: u64,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, PartError> {
    match select(pin!(call), pin!(clock::sleep_ms(limit_ms))).await {
        Either::Left((Ok(value), _)) => Ok(value),
        Either::Left((Err(error), _)) => Err(told(part, error.failure())),
        Either::Right(_) => Err(PartError {
            part,
            kind: "urn:weft:problem:deadline-exceeded",
            title: "This part did not answer in time",
            retry: true,
            retry_after_ms: None,
        }),
    }
}

/// What the client is told of a failure; the failure itself is for the log.
fn told(part: &'static str, failure: Option<&Failure>) -> PartError {
    match failure {
        Some(failure) => {
            eprintln!("{part}: {}", failure.message);
            PartError {
                part,
                kind: "urn:weft:problem:unavailable",
                title: "This part does not answer now",
                // All parts are queries: asking again does no harm.
                retry: true,
                retry_after_ms: failure.retry_after_ms,
            }
        }
        None => {
            eprintln!("{part}: an answer that a query does not have");
            PartError {
                part,
                kind: "urn:weft:problem:internal",
                title: "Something went wrong on our side",
                retry: false,
                retry_after_ms: None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_nothing_of_the_inside() {
        let failure = Failure { retry_after_ms: Some(250), ..Failure::unknown("password of the database: x") };
        let error = told("courses", Some(&failure));
        assert_eq!((error.part, error.retry, error.retry_after_ms), ("courses", true, Some(250)));
        assert!(!error.title.contains("password") && !error.kind.contains("password"));
        assert!(!told("courses", None).retry);
    }

    #[test]
    fn a_part_is_there_or_noted() {
        let mut errors = Errors::default();
        assert_eq!(errors.part(Ok::<_, PartError>(1)), Some(1));
        assert_eq!(errors.part(Err::<u8, _>(told("courses", None))), None);
        assert_eq!(errors.into_list().len(), 1);
    }
}
