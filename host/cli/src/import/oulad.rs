//! The Open University Learning Analytics Dataset (Kuzilek et al. 2017, CC BY 4.0) as courses and registrations: a
//! course is a module's presentation, its capacity the number of its registrations.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use weft_core::id;

use super::table::{FileError, Problems, Table};

/// The longest code or id, in bytes.
const MAX_NAME_BYTES: usize = 64;
const RESULTS: [&str; 4] = ["Withdrawn", "Pass", "Distinction", "Fail"];

/// Everything that is imported, checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Dataset {
    /// SHA-256 of the three files, in hex, packed or not.
    pub digest: String,
    /// In the order of courses.csv.
    pub courses: Vec<Course>,
    /// In the order of studentRegistration.csv.
    pub rows: Vec<Row>,
}

/// `import-course` of `education:enrollment/importing`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Course {
    /// Such as `AAA-2013J`.
    pub code: String,
    /// For people.
    pub title: String,
    /// How many registrations it has; 1 where it has none, since a course has a seat at least.
    pub capacity: u32,
}

/// `import-row` of `education:enrollment/importing`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Row {
    /// The student's number.
    pub student: String,
    /// The course's code.
    pub course: String,
    /// One of four.
    pub final_result: String,
    /// Days from the start of the course; some rows have none.
    pub registered_day: Option<i32>,
}

/// Reads courses.csv, studentInfo.csv and studentRegistration.csv in `folder`, each of which may be gzipped.
///
/// # Errors
/// All problems, up to a number, by file and line.
pub fn read(folder: &Path) -> Result<Dataset, FileError> {
    let courses = Table::read(folder, "courses", &["code_module", "code_presentation"])?;
    let columns = ["code_module", "code_presentation", "id_student", "final_result"];
    let students = Table::read(folder, "studentInfo", &columns)?;
    let columns = ["code_module", "code_presentation", "id_student", "date_registration"];
    let registrations = Table::read(folder, "studentRegistration", &columns)?;
    let digests = [&*courses.digest, &students.digest, &registrations.digest].join("\n");
    let mut problems = Problems::default();
    let mut presentations = read_courses(&courses, &mut problems);
    let results = read_results(&students, &mut problems);
    let rows = read_rows(&registrations, &mut presentations, &results, &mut problems);
    problems.finish()?;
    let mut courses: Vec<(u64, Course)> = presentations.into_values().collect();
    courses.sort_by_key(|(line, _)| *line);
    let courses = courses.into_iter().map(|(_, course)| Course { capacity: course.capacity.max(1), ..course });
    Ok(Dataset { digest: id::digest(digests.as_bytes()), courses: courses.collect(), rows })
}

/// Courses by code, with their lines.
type Presentations = BTreeMap<String, (u64, Course)>;

fn code(module: &str, presentation: &str) -> String {
    format!("{module}-{presentation}")
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn read_courses(table: &Table, problems: &mut Problems) -> Presentations {
    let mut courses = Presentations::new();
    for (line, [module, presentation]) in table.rows() {
        if !is_name(module) || !is_name(presentation) {
            problems.add(table, line, "code_module and code_presentation have to be letters and digits");
            continue;
        }
        let code = code(module, presentation);
        let title = format!("Module {module}, presentation {presentation}");
        let course = Course { code: code.clone(), title, capacity: 0 };
        if let Some((earlier, _)) = courses.insert(code.clone(), (line, course)) {
            problems.add(table, line, format!("course {code} is on line {earlier} already"));
        }
    }
    courses
}

type Results<'a> = BTreeMap<(&'a str, &'a str, &'a str), &'a str>;

fn read_results<'a>(table: &'a Table, problems: &mut Problems) -> Results<'a> {
    let mut results = Results::new();
    for (line, [module, presentation, student, result]) in table.rows() {
        if !RESULTS.contains(&result) {
            problems.add(table, line, format!("final_result is {result:?}; it may be {}", RESULTS.join(", ")));
        }
        if results.insert((module, presentation, student), result).is_some() {
            let what = format!("student {student} is in {} twice", code(module, presentation));
            problems.add(table, line, what);
        }
    }
    results
}

fn read_rows(
    table: &Table,
    presentations: &mut Presentations,
    results: &Results<'_>,
    problems: &mut Problems,
) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut seen = BTreeMap::new();
    for (line, [module, presentation, student, day]) in table.rows() {
        let course = code(module, presentation);
        if !is_name(student) {
            problems.add(table, line, format!("id_student is {student:?}; it has to be letters and digits"));
            continue;
        }
        if let Some(earlier) = seen.insert((module, presentation, student), line) {
            problems.add(
                table,
                line,
                format!("student {student} is registered for {course} on line {earlier} already"),
            );
            continue;
        }
        let Some((_, found)) = presentations.get_mut(&course) else {
            problems.add(table, line, format!("courses.csv has no course {course}"));
            continue;
        };
        found.capacity = found.capacity.saturating_add(1);
        let Some(final_result) = results.get(&(module, presentation, student)) else {
            problems.add(table, line, format!("studentInfo.csv has no student {student} in {course}"));
            continue;
        };
        match registered_day(day) {
            Ok(registered_day) => rows.push(Row {
                student: student.to_owned(),
                course,
                final_result: (*final_result).to_owned(),
                registered_day,
            }),
            Err(()) => {
                problems.add(table, line, format!("date_registration is {day:?}; it has to be a number of days"))
            }
        }
    }
    rows
}

/// A whole number of days, written with or without a fraction of zero; nothing, or `?` as in the original, for none.
fn registered_day(text: &str) -> Result<Option<i32>, ()> {
    if text.is_empty() || text == "?" {
        return Ok(None);
    }
    let whole = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return Err(()),
        None => text,
    };
    whole.parse().map(Some).map_err(|_| ())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const COURSES: &str = "code_module,code_presentation,module_presentation_length\nAAA,2013J,268\nBBB,2014B,240\n";
    const STUDENTS: &str = "code_module,code_presentation,id_student,gender,final_result\n\
                            AAA,2013J,1,M,Pass\nAAA,2013J,2,F,Withdrawn\nBBB,2014B,1,M,Fail\n";
    const REGISTRATIONS: &str = "code_module,code_presentation,id_student,date_registration\n\
                                 AAA,2013J,1,-159.0\nAAA,2013J,2,\nBBB,2014B,1,7\n";

    fn dataset(courses: &str, students: &str, registrations: &str) -> Result<Dataset, String> {
        let folder = tempfile::tempdir().unwrap();
        let files = [("courses", courses), ("studentInfo", students), ("studentRegistration", registrations)];
        for (stem, text) in files {
            fs::write(folder.path().join(format!("{stem}.csv")), text).unwrap();
        }
        let path = format!("{}/", folder.path().display());
        read(folder.path()).map_err(|error| error.to_string().replace(&path, ""))
    }

    #[test]
    fn rows_are_joined_and_seats_counted() {
        let dataset = dataset(COURSES, STUDENTS, REGISTRATIONS).unwrap();
        let course = |code: &str, title: &str, capacity| Course { code: code.into(), title: title.into(), capacity };
        assert_eq!(
            dataset.courses,
            [
                course("AAA-2013J", "Module AAA, presentation 2013J", 2),
                course("BBB-2014B", "Module BBB, presentation 2014B", 1)
            ]
        );
        let row = |student: &str, course: &str, result: &str, day| Row {
            student: student.into(),
            course: course.into(),
            final_result: result.into(),
            registered_day: day,
        };
        assert_eq!(
            dataset.rows,
            [
                row("1", "AAA-2013J", "Pass", Some(-159)),
                row("2", "AAA-2013J", "Withdrawn", None),
                row("1", "BBB-2014B", "Fail", Some(7))
            ]
        );
    }

    #[test]
    fn the_digest_is_of_all_three_files() {
        let digest = |courses: &str, students: &str, registrations: &str| {
            dataset(courses, students, registrations).unwrap().digest
        };
        let one = digest(COURSES, STUDENTS, REGISTRATIONS);
        assert_eq!(one, digest(COURSES, STUDENTS, REGISTRATIONS));
        assert_ne!(one, digest(&COURSES.replace("268", "269"), STUDENTS, REGISTRATIONS));
        assert_ne!(one, digest(COURSES, &STUDENTS.replace("Fail", "Pass"), REGISTRATIONS));
        assert_ne!(one, digest(COURSES, STUDENTS, &REGISTRATIONS.replace(",7", ",8")));
    }

    #[test]
    fn all_problems_are_told_by_file_and_line() {
        let courses = format!("{COURSES}AAA,2013J,1\n-,x,1\n");
        let students = format!("{STUDENTS}AAA,2013J,1,M,Pass\nAAA,2013J,9,M,Excellent\n");
        let registrations = format!("{REGISTRATIONS}AAA,2013J,1,1\nCCC,2013J,1,1\nAAA,2013J,8,1\nBBB,2014B,,1\n")
            .replace("1,7", "1,7.5");
        let told = dataset(&courses, &students, &registrations).unwrap_err();
        let told: Vec<&str> = told.lines().collect();
        assert_eq!(
            told,
            [
                "courses.csv:4: course AAA-2013J is on line 2 already",
                "courses.csv:5: code_module and code_presentation have to be letters and digits",
                "studentInfo.csv:5: student 1 is in AAA-2013J twice",
                "studentInfo.csv:6: final_result is \"Excellent\"; it may be Withdrawn, Pass, Distinction, Fail",
                "studentRegistration.csv:4: date_registration is \"7.5\"; it has to be a number of days",
                "studentRegistration.csv:5: student 1 is registered for AAA-2013J on line 2 already",
                "studentRegistration.csv:6: courses.csv has no course CCC-2013J",
                "studentRegistration.csv:7: studentInfo.csv has no student 8 in AAA-2013J",
                "studentRegistration.csv:8: id_student is \"\"; it has to be letters and digits",
            ]
        );
    }

    #[test]
    fn days_are_whole_numbers_or_nothing() {
        for (text, day) in [("-159.0", Some(-159)), ("7", Some(7)), ("0.000", Some(0)), ("", None), ("?", None)] {
            assert_eq!(registered_day(text), Ok(day), "{text}");
        }
        for text in ["7.5", "x", "1e3", "99999999999", "."] {
            assert_eq!(registered_day(text), Err(()), "{text}");
        }
    }
}
