//! The rules of assessments. Pure: what a submission is, when it is a pass, and what the submissions of a course come
//! to. Reading events and keeping results is the work of the functions around it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The CloudEvents type of a submission.
pub const SUBMITTED: &str = "education.assessment.submitted";
/// The lowest score of a pass.
pub const PASS: u32 = 40;
/// The highest score there is.
pub const MAX_SCORE: u32 = 100;
/// The longest name of a course, in bytes.
pub const MAX_COURSE_BYTES: usize = 64;

/// A student's answer to an assessment: the data of the event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// Who.
    pub student_id: String,
    /// To what.
    pub assessment_id: String,
    /// In which course, such as `AAA-2013J`.
    pub course: String,
    /// Days from the start of the course.
    pub submitted_day: i32,
    /// Whether it was taken over from an earlier presentation of the course.
    pub banked: bool,
    /// 0 to 100; none where it was not marked.
    pub score: Option<u32>,
}

/// Why something is not a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// The course has no name, or too long a one.
    Course,
    /// More than there is to get.
    Score(u32),
}

impl core::fmt::Display for Invalid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Course => write!(f, "`course` has to have 1 to {MAX_COURSE_BYTES} bytes"),
            Self::Score(score) => write!(f, "`score` is {score}; it may be 0 to {MAX_SCORE}"),
        }
    }
}

impl core::error::Error for Invalid {}

/// What submissions come to. Tallies of different submissions can be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub submitted: u64,
    /// Those with a score.
    pub scored: u64,
    /// Their scores together.
    pub score_sum: u64,
    /// Those with at least [`PASS`].
    pub passed: u64,
}

impl Tally {
    /// With one submission more.
    #[must_use]
    pub fn with(self, score: Option<u32>) -> Self {
        Self {
            submitted: self.submitted + 1,
            scored: self.scored + u64::from(score.is_some()),
            score_sum: self.score_sum + u64::from(score.unwrap_or_default()),
            passed: self.passed + u64::from(score.is_some_and(|score| score >= PASS)),
        }
    }

    /// The average of the scores there are.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn average(&self) -> Option<f64> {
        (self.scored > 0).then(|| self.score_sum as f64 / self.scored as f64)
    }
}

/// What submissions come to in each course.
///
/// # Errors
/// If one of them is not a submission.
pub fn tally(submissions: impl IntoIterator<Item = Submission>) -> Result<BTreeMap<String, Tally>, Invalid> {
    let mut courses: BTreeMap<String, Tally> = BTreeMap::new();
    for Submission { course, score, .. } in submissions {
        if course.is_empty() || course.len() > MAX_COURSE_BYTES {
            return Err(Invalid::Course);
        }
        if let Some(score) = score.filter(|score| *score > MAX_SCORE) {
            return Err(Invalid::Score(score));
        }
        let tally = courses.entry(course).or_default();
        *tally = tally.with(score);
    }
    Ok(courses)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn submission(course: &str, score: Option<u32>) -> Submission {
        let (student_id, assessment_id) = ("11391".to_owned(), "1752".to_owned());
        Submission { student_id, assessment_id, course: course.to_owned(), submitted_day: -3, banked: false, score }
    }

    #[test]
    fn one_without_a_score_is_submitted_and_nothing_else() {
        let scores = [Some(39), Some(40), None, Some(100)];
        let courses = tally(scores.map(|score| submission("AAA-2013J", score))).unwrap();
        let expected = Tally { submitted: 4, scored: 3, score_sum: 179, passed: 2 };
        assert_eq!(courses, BTreeMap::from([("AAA-2013J".to_owned(), expected)]));
        assert_eq!(expected.average(), Some(179.0 / 3.0));
        assert_eq!(Tally::default().with(None).average(), None);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(tally([submission("", None)]), Err(Invalid::Course));
        assert_eq!(tally([submission(&"A".repeat(65), None)]), Err(Invalid::Course));
        assert_eq!(tally([submission("AAA-2013J", Some(101))]), Err(Invalid::Score(101)));
        let no_score =
            r#"{"student_id":"1","assessment_id":"2","course":"A","submitted_day":1,"banked":true,"score":null}"#;
        assert_eq!(serde_json::from_str::<Submission>(no_score).unwrap().score, None);
    }

    proptest! {
        /// However events are cut into batches, the results are the same.
        #[test]
        fn batches_add_up(scores in vec((0_usize..3, option::of(0_u32..=100)), 0..50), cut in 0_usize..50) {
            let all: Vec<_> = scores.iter().map(|(course, score)| submission(&format!("C{course}"), *score)).collect();
            let (first, second) = all.split_at(cut.min(all.len()));
            let mut added = tally(first.to_vec()).unwrap();
            for (course, more) in tally(second.to_vec()).unwrap() {
                let tally = added.entry(course).or_default();
                *tally = Tally {
                    submitted: tally.submitted + more.submitted,
                    scored: tally.scored + more.scored,
                    score_sum: tally.score_sum + more.score_sum,
                    passed: tally.passed + more.passed,
                };
            }
            prop_assert_eq!(added, tally(all).unwrap());
        }
    }
}
