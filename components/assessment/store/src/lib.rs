//! The results of courses as they are read from the model that the projection `assessment-results` writes.

use assessment_domain::Tally;
use weft_guest::sql::{Error, Row, query};

/// The tallies of those of the courses that have one, by their codes.
///
/// # Errors
/// Those of the database.
pub async fn of_courses(courses: &[String]) -> Result<Vec<(String, Tally)>, Error> {
    if courses.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<String> = (1..=courses.len()).map(|number| format!("${number}")).collect();
    let text = format!(
        "SELECT course, submitted, scored, score_sum, passed FROM assessment_results WHERE course IN ({}) ORDER BY course",
        places.join(", ")
    );
    let rows = query(&text, courses.iter().map(Into::into).collect()).await?;
    rows.iter().map(|row| Ok((row.text("course")?, tally(row)?))).collect()
}

fn tally(row: &Row) -> Result<Tally, Error> {
    Ok(Tally {
        submitted: row.count("submitted")?,
        scored: row.count("scored")?,
        score_sum: row.count("score_sum")?,
        passed: row.count("passed")?,
    })
}
