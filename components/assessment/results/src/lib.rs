//! The projection of `assessment.submitted`: how many submissions each course has, and how they were marked. Every event
//! takes effect once, because the host commits the statements with the place that was read.

use assessment_domain::{SUBMITTED, Submission, Tally, tally};
use weft_guest::events::SourceEvent;
use weft_guest::params;
use weft_guest::sql::{Statement, sql};

const ADD: &str = "INSERT INTO assessment_results (course, submitted, scored, score_sum, passed) \
                   VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (course) DO UPDATE SET \
                   submitted = assessment_results.submitted + excluded.submitted, \
                   scored = assessment_results.scored + excluded.scored, \
                   score_sum = assessment_results.score_sum + excluded.score_sum, \
                   passed = assessment_results.passed + excluded.passed";

async fn project(events: Vec<SourceEvent>) -> Result<Vec<Statement>, String> {
    let submitted = events.iter().filter(|event| event.type_ == SUBMITTED);
    let submissions = submitted.map(SourceEvent::decode::<Submission>).collect::<Result<Vec<_>, _>>()?;
    let courses = tally(submissions).map_err(|invalid| invalid.to_string())?;
    Ok(courses.into_iter().map(add).collect())
}

/// One statement for each course, however many events there are.
fn add((course, tally): (String, Tally)) -> Statement {
    let Tally { submitted, scored, score_sum, passed } = tally;
    sql(ADD, params![course, submitted, scored, score_sum, passed])
}

weft_guest::projection!(project);
