//! GET /api/dashboard/web: what the start page of the web client shows, in one answer. A part that fails is null, and
//! `errors` names it.

use dashboards_parts::{self as parts, Enrolled, Errors, PartError, Results};
use serde::Serialize;
use weft_guest::http::{Problem, Request, Response};

const ENROLLMENTS: usize = 20;
const COURSES: u32 = 12;
const NOTIFICATIONS: u32 = 10;
const RECOMMENDATIONS: u32 = 6;

#[derive(Serialize)]
struct Dashboard {
    enrollments: Option<Vec<Enrolled>>,
    results: Option<Vec<Results>>,
    courses: Option<Vec<Course>>,
    notifications: Option<Vec<Notice>>,
    recommendations: Option<Recommendations>,
    errors: Vec<PartError>,
}

#[derive(Serialize)]
struct Course {
    id: String,
    code: String,
    title: String,
    price: u64,
    currency: String,
    seats_left: u32,
}

#[derive(Serialize)]
struct Notice {
    id: String,
    kind: String,
    title: String,
    body: String,
    created_at: String,
}

#[derive(Serialize)]
struct Recommendations {
    items: Vec<Recommendation>,
    ranked: bool,
}

#[derive(Serialize)]
struct Recommendation {
    course_id: String,
    title: String,
    reasons: Vec<String>,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let (taken, courses, notifications, recommendations) = futures::join!(
        parts::taken(&user.id, ENROLLMENTS, |_| true),
        parts::courses(COURSES),
        parts::notifications(&user.id, NOTIFICATIONS),
        parts::recommendations(&user.id, RECOMMENDATIONS),
    );
    let mut errors = Errors::default();
    let (enrollments, results) = taken.noted(&mut errors);
    let dashboard = Dashboard {
        enrollments,
        results,
        courses: errors.part(courses).map(|courses| courses.into_iter().map(course).collect()),
        notifications: errors.part(notifications).map(|notices| notices.into_iter().map(notice).collect()),
        recommendations: errors.part(recommendations).map(|suggested| Recommendations {
            items: suggested.items.into_iter().map(recommendation).collect(),
            ranked: suggested.ranked,
        }),
        errors: errors.into_list(),
    };
    Ok(Response::json(200, &dashboard).header("cache-control", "no-store"))
}

fn course(course: parts::Course) -> Course {
    let parts::Course { id, code, title, price, currency, capacity, seats_taken, .. } = course;
    Course { id, code, title, price, currency, seats_left: capacity.saturating_sub(seats_taken) }
}

fn notice(notice: parts::Notice) -> Notice {
    let parts::Notice { id, kind, title, body, created_at } = notice;
    Notice { id, kind, title, body, created_at }
}

fn recommendation(one: parts::Suggestion) -> Recommendation {
    Recommendation { course_id: one.course_id, title: one.title, reasons: one.reasons }
}

weft_guest::http_handler!(handle);
