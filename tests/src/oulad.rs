//! The Open University's data in `tests/data/oulad`: its files, its submissions as events, and what they have to come to
//! in each course, counted from the file itself.

use std::collections::BTreeMap;
use std::process::Command;

use serde::Serialize;

use crate::repository;

/// Where submissions are published.
pub const TOPIC: &str = "assessment.submitted";
/// The CloudEvents type of a submission.
pub const SUBMITTED: &str = "education.assessment.submitted";
/// The lowest score of a pass.
const PASS: u32 = 40;

/// A submission as an event that can be published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubmittedEvent {
    /// The same whenever it is made: of the student and the assessment.
    pub id: String,
    /// The CloudEvents type.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The topic.
    pub topic: &'static str,
    /// The course: submissions of one course come in order.
    #[serde(rename = "partitionkey")]
    pub ordering_key: String,
    /// What was submitted.
    pub data: Submission,
}

/// The data of the event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Submission {
    /// Who.
    pub student_id: String,
    /// To what.
    pub assessment_id: String,
    /// Module and presentation, such as `AAA-2013J`.
    pub course: String,
    /// Days from the start of the course; before it, they are negative.
    pub submitted_day: i32,
    /// Whether it was taken over from an earlier presentation.
    pub banked: bool,
    /// 0 to 100; 173 submissions have none.
    pub score: Option<u32>,
}

/// What the submissions of a course come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// All of them, those without a score as well.
    pub submitted: u64,
    /// Those with a score.
    pub scored: u64,
    /// Their scores together.
    pub score_sum: u64,
    /// Those with a score of 40 or more.
    pub passed: u64,
}

impl Results {
    /// The average of the scores there are.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn average(&self) -> f64 {
        self.score_sum as f64 / self.scored as f64
    }
}

/// A file of the data set.
///
/// # Panics
/// If it is not there, or `gzip` is not.
#[must_use]
pub fn unzipped(name: &str) -> String {
    let path = repository::root().join("tests/data/oulad").join(format!("{name}.csv.gz"));
    let output = Command::new("gzip").arg("-dc").arg(path).output().expect("gzip can be run");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the files are UTF-8")
}

/// The fields of each record, which is a line; no field of these files holds a comma.
fn records<const N: usize>(text: &str, header: [&str; N]) -> impl Iterator<Item = [String; N]> {
    let mut lines = text.lines().map(|line| {
        let fields: Vec<String> = line.split(',').map(|field| field.trim_matches('"').to_owned()).collect();
        fields.try_into().unwrap_or_else(|fields| panic!("{N} fields are expected, not {fields:?}"))
    });
    assert_eq!(lines.next(), Some(header.map(str::to_owned)), "the columns of the file");
    lines
}

/// The course of each assessment.
fn courses() -> BTreeMap<String, String> {
    let header = ["code_module", "code_presentation", "id_assessment", "assessment_type", "date", "weight"];
    let assessments = unzipped("assessments");
    let course = |[module, presentation, id, ..]: [String; 6]| (id, format!("{module}-{presentation}"));
    records(&assessments, header).map(course).collect()
}

const HEADER: [&str; 5] = ["id_assessment", "id_student", "date_submitted", "is_banked", "score"];

/// All 173,912 submissions as events, in the order of the file.
///
/// # Panics
/// If the file is not what it was.
#[must_use]
pub fn submissions() -> Vec<SubmittedEvent> {
    let (text, courses) = (unzipped("studentAssessment"), courses());
    let event = |[assessment_id, student_id, day, banked, score]: [String; 5]| {
        let course = courses[&assessment_id].clone();
        let id = format!("submission-{assessment_id}-{student_id}");
        let score = (!score.is_empty()).then(|| score.parse().expect("a score is a number"));
        let submitted_day = day.parse().expect("a day is a number");
        let banked = banked == "1";
        let ordering_key = course.clone();
        let data = Submission { student_id, assessment_id, course, submitted_day, banked, score };
        SubmittedEvent { id, kind: SUBMITTED, topic: TOPIC, ordering_key, data }
    };
    records(&text, HEADER).map(event).collect()
}

/// What the submissions of each course come to, counted without making events of them.
///
/// # Panics
/// If the file is not what it was.
#[must_use]
pub fn results() -> BTreeMap<String, Results> {
    let (text, courses) = (unzipped("studentAssessment"), courses());
    let mut all: BTreeMap<String, Results> = BTreeMap::new();
    for [assessment, _, _, _, score] in records(&text, HEADER) {
        let course = all.entry(courses[&assessment].clone()).or_default();
        course.submitted += 1;
        if let Ok(score) = score.parse::<u32>() {
            course.scored += 1;
            course.score_sum += u64::from(score);
            course.passed += u64::from(score >= PASS);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_submission_is_an_event_with_an_id_of_its_own() {
        let events = submissions();
        assert_eq!(events.len(), 173_912);
        assert_eq!(events.iter().map(|event| &event.id).collect::<BTreeSet<_>>().len(), events.len());
        assert_eq!(events.iter().filter(|event| event.data.score.is_none()).count(), 173);
        let first = r#"{"id":"submission-1752-11391","type":"education.assessment.submitted","topic":"assessment.submitted","partitionkey":"AAA-2013J","data":{"student_id":"11391","assessment_id":"1752","course":"AAA-2013J","submitted_day":18,"banked":false,"score":78}}"#;
        assert_eq!(serde_json::to_string(&events[0]).unwrap(), first);
    }

    #[test]
    fn the_results_are_those_of_the_file() {
        let results = results();
        let sum = |part: fn(&Results) -> u64| results.values().map(part).sum::<u64>();
        assert_eq!(results.len(), 22);
        assert_eq!(sum(|course| course.submitted), 173_912);
        assert_eq!(sum(|course| course.submitted - course.scored), 173);
        // Counted by another program.
        assert_eq!(sum(|course| course.passed), 166_161);
        let of_events = submissions().iter().filter(|event| event.data.course == "AAA-2013J").count();
        assert_eq!(results["AAA-2013J"].submitted, u64::try_from(of_events).unwrap());
    }
}
