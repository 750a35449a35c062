//! GET /api/recommendations: the courses that suit who asks, the best first. Gathers what is known of the student and of
//! the courses; how well one suits is the ranking's to say. Without the ranking the newest courses come as they are, and
//! the answer says so.

use std::collections::HashMap;

use education::analytics::recommendations::{self, Candidate, Recommendation, Taken};
use education::courses::catalog::{self, Course};
use education::enrollment::records;
use education::enrollment::types::Enrollment;
use serde::Serialize;
use weft_guest::http::{Problem, Request, Response};

const LIMIT_DEFAULT: u32 = 10;
const LIMIT_MAX: u32 = 50;
/// Courses that are looked at.
const CANDIDATES: u32 = 500;

#[derive(Serialize)]
struct Answer {
    items: Vec<Item>,
    /// Whether they are ordered by how well they suit.
    ranked: bool,
}

#[derive(Serialize)]
struct Item {
    course_id: String,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    reasons: Vec<String>,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let limit = request.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let (courses, enrollments) = futures::join!(catalog::published(CANDIDATES), records::of_student(user.id.clone()));
    let courses = courses.map_err(|error| match error {
        catalog::Error::NotFound => Problem::not_found("course"),
        catalog::Error::Unavailable(failure) => failure.into(),
    })?;
    let enrollments = enrollments.map_err(|error| match error {
        records::Error::Unavailable(failure) => failure.into(),
        other => Problem::internal(&format!("{other:?}")),
    })?;
    let taken = taken(&courses, enrollments).await?;
    let candidates: Vec<Candidate> = courses.iter().map(candidate).collect();
    let answer = match recommendations::rank(&taken, &candidates, limit) {
        Ok(ranked) => Answer { items: named(&courses, ranked), ranked: true },
        Err(recommendations::Error::Invalid(why)) => return Err(Problem::internal(&why)),
        Err(recommendations::Error::Unavailable(_)) => {
            Answer { items: newest(&courses, &taken, limit as usize), ranked: false }
        }
    };
    Ok(Response::json(200, &answer))
}

/// What the student is in or has completed. A course may not be among the newest, or not be published any more.
async fn taken(courses: &[Course], enrollments: Vec<Enrollment>) -> Result<Vec<Taken>, Problem> {
    let by_id: HashMap<&str, &Course> = courses.iter().map(|course| (course.id.as_str(), course)).collect();
    let mut taken = Vec::new();
    for Enrollment { course_id, status, .. } in enrollments.into_iter().filter(|one| one.status != "cancelled") {
        let course = match by_id.get(course_id.as_str()) {
            Some(course) => (*course).clone(),
            None => match catalog::get(course_id).await {
                Ok(course) => course,
                Err(catalog::Error::NotFound) => continue,
                Err(catalog::Error::Unavailable(failure)) => return Err(failure.into()),
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

fn named(courses: &[Course], ranked: Vec<Recommendation>) -> Vec<Item> {
    let titles: HashMap<&str, &str> =
        courses.iter().map(|course| (course.id.as_str(), course.title.as_str())).collect();
    let item = |one: Recommendation| {
        let title = titles.get(one.course_id.as_str()).copied().unwrap_or_default().to_owned();
        Item { course_id: one.course_id, title, score: Some(one.score), reasons: one.reasons }
    };
    ranked.into_iter().map(item).collect()
}

/// Courses that are not taken and have a seat.
fn newest(courses: &[Course], taken: &[Taken], limit: usize) -> Vec<Item> {
    let is_open =
        |course: &&Course| course.seats_taken < course.capacity && taken.iter().all(|one| one.course_id != course.id);
    let item = |course: &Course| Item {
        course_id: course.id.clone(),
        title: course.title.clone(),
        score: None,
        reasons: Vec::new(),
    };
    courses.iter().filter(is_open).take(limit).map(item).collect()
}

weft_guest::http_handler!(handle);
