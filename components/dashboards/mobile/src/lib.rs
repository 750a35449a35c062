//! GET /api/dashboard/mobile: what the first screen of the mobile client shows, in one small answer: the courses that one
//! is in and how their submissions were marked, the newest notices without their texts, and three courses that suit. A part that fails is null, and `errors`
//! names it.

use dashboards_parts::{self as parts, Enrolled, Errors, PartError};
use serde::Serialize;
use weft_guest::http::{Problem, Request, Response};

const ENROLLMENTS: usize = 5;
const NOTIFICATIONS: u32 = 5;
const RECOMMENDATIONS: u32 = 3;

#[derive(Serialize)]
struct Dashboard {
    enrollments: Option<Vec<Enrolled>>,
    results: Option<Vec<Results>>,
    notifications: Option<Vec<Notice>>,
    recommendations: Option<Vec<Recommendation>>,
    errors: Vec<PartError>,
}

#[derive(Serialize)]
struct Results {
    course_id: String,
    /// Null where nothing has a score.
    average: Option<f64>,
}

#[derive(Serialize)]
struct Notice {
    id: String,
    title: String,
    created_at: String,
}

#[derive(Serialize)]
struct Recommendation {
    course_id: String,
    title: String,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let (taken, notifications, recommendations) = futures::join!(
        parts::taken(&user.id, ENROLLMENTS, |one| one.status == "active"),
        parts::notifications(&user.id, NOTIFICATIONS),
        parts::recommendations(&user.id, RECOMMENDATIONS),
    );
    let mut errors = Errors::default();
    let (enrollments, results) = taken.noted(&mut errors);
    let dashboard = Dashboard {
        enrollments,
        results: results.map(|results| results.into_iter().map(average).collect()),
        notifications: errors.part(notifications).map(|notices| notices.into_iter().map(notice).collect()),
        recommendations: errors
            .part(recommendations)
            .map(|suggested| suggested.items.into_iter().map(recommendation).collect()),
        errors: errors.into_list(),
    };
    Ok(Response::json(200, &dashboard).header("cache-control", "no-store"))
}

fn average(results: parts::Results) -> Results {
    Results { course_id: results.course_id, average: results.average }
}

fn notice(notice: parts::Notice) -> Notice {
    Notice { id: notice.id, title: notice.title, created_at: notice.created_at }
}

fn recommendation(one: parts::Suggestion) -> Recommendation {
    Recommendation { course_id: one.course_id, title: one.title }
}

weft_guest::http_handler!(handle);
