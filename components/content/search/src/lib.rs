//! The projections content-search and content-courses: what has happened to content, as the tables that are searched, and
//! what has happened to courses, as far as it says who may see their content. Pure: the statements depend on the events
//! alone.

use education::events::content::{Content, Happened, Summary};
use education::events::facts::{CourseDrafted, CoursePublished, CourseUndone, Fact};
use weft_guest::events::SourceEvent;
use weft_guest::sql::{Statement, sql};
use weft_guest::{params, read_model};

const TERMS: &str = "content_search_terms";

async fn project(events: Vec<SourceEvent>) -> Result<Vec<Statement>, String> {
    let mut statements = Vec::new();
    for event in &events {
        statements.extend(apply(event)?);
    }
    Ok(statements)
}

fn apply(event: &SourceEvent) -> Result<Vec<Statement>, String> {
    match event.type_.as_str() {
        CourseDrafted::TYPE => {
            let CourseDrafted { course_id, teacher_id, .. } = event.decode()?;
            Ok(vec![course(&course_id, &teacher_id, false)])
        }
        CoursePublished::TYPE => {
            let CoursePublished { course_id, teacher_id } = event.decode()?;
            Ok(vec![course(&course_id, &teacher_id, true)])
        }
        CourseUndone::TYPE => {
            let CourseUndone { course_id } = event.decode()?;
            Ok(vec![sql("DELETE FROM content_search_courses WHERE course_id = $1", params![course_id])])
        }
        kind => Happened::parse(kind).map_or_else(|| Ok(Vec::new()), |happened| content(event, happened)),
    }
}

fn course(id: &str, teacher_id: &str, published: bool) -> Statement {
    sql(
        "INSERT INTO content_search_courses (course_id, teacher_id, published) VALUES ($1, $2, $3) \
         ON CONFLICT (course_id) DO UPDATE SET published = $3",
        params![id, teacher_id, published],
    )
}

fn content(event: &SourceEvent, happened: Happened) -> Result<Vec<Statement>, String> {
    let Content { content_id: id, course_id, author_id, content_title: title, kind, summary, .. } = event.decode()?;
    let status =
        |status: &str| vec![sql("UPDATE content_search SET status = $2 WHERE content_id = $1", params![&id, status])];
    let summed_up = |summary: Option<&Summary>| {
        let (words, minutes) = (summary.map(|summary| summary.words), summary.map(|summary| summary.minutes));
        sql(
            "UPDATE content_search SET words = $2, minutes = $3, excerpt = $4 WHERE content_id = $1",
            params![&id, words, minutes, summary.map(|summary| summary.excerpt.as_str())],
        )
    };
    Ok(match happened {
        Happened::Uploaded => {
            let insert = sql(
                "INSERT INTO content_search (content_id, course_id, author_id, title, kind, status, uploaded_at) \
                 VALUES ($1, $2, $3, $4, $5, 'uploaded', $6)",
                params![&id, course_id, author_id, &title, kind, &event.time],
            );
            [vec![insert], read_model::index(TERMS, &id, &[&title])].concat()
        }
        Happened::Processed => {
            let words = summary.as_ref().map(|summary| summary.found_by.join(" ")).unwrap_or_default();
            [vec![summed_up(summary.as_ref())], read_model::index(TERMS, &id, &[&title, &words])].concat()
        }
        Happened::Discarded => [vec![summed_up(None)], read_model::index(TERMS, &id, &[&title])].concat(),
        Happened::Published => status("published"),
        Happened::Withdrawn => status("uploaded"),
        Happened::Failed | Happened::Deleted => {
            let delete = sql("DELETE FROM content_search WHERE content_id = $1", params![&id]);
            vec![delete, read_model::unindex(TERMS, &id)]
        }
        // Whether it is found by its text, the saga's own index says.
        Happened::Indexed | Happened::Unindexed => Vec::new(),
    })
}

weft_guest::projection!(project);

#[cfg(test)]
mod tests {
    use projection_testing::{Database, event};
    use weft_guest::serde_json::json;

    use super::*;

    fn about(id: &str) -> Content {
        Content {
            content_id: id.into(),
            course_id: "c".into(),
            author_id: "t".into(),
            content_title: "Parsing".into(),
            ..Content::default()
        }
    }

    fn happen(database: &Database, id: &str, happened: &[Happened]) {
        for (position, happened) in (1..).zip(happened) {
            let mut data = about(id);
            match happened {
                Happened::Uploaded => data.kind = Some("article".into()),
                Happened::Processed => {
                    let (excerpt, found_by) = ("A tree".to_owned(), vec!["a".into(), "tree".into()]);
                    data.summary = Some(Summary { words: 2, minutes: 1, excerpt, terms: Vec::new(), found_by });
                }
                _ => {}
            }
            database.run(&apply(&event(position, &happened.kind(), &data)).unwrap());
        }
    }

    #[test]
    fn content_is_found_as_far_as_it_has_come() {
        let database = Database::new(&[include_str!("../../migrations/0002_search.sql")]);
        let whole = [Happened::Uploaded, Happened::Processed, Happened::Indexed, Happened::Published];
        happen(&database, "i", &whole);
        happen(&database, "j", &[Happened::Uploaded, Happened::Failed, Happened::Deleted]);
        happen(
            &database,
            "k",
            &[&whole[..], &[Happened::Withdrawn, Happened::Unindexed, Happened::Discarded]].concat(),
        );
        let rows = database.rows("SELECT content_id, status, words, excerpt FROM content_search ORDER BY 1", &[]);
        assert_eq!(rows, json!([["i", "published", 2, "A tree"], ["k", "uploaded", null, null]]));
        let terms = database.rows("SELECT id, term FROM content_search_terms ORDER BY 1, 2", &[]);
        assert_eq!(terms, json!([["i", "a"], ["i", "parsing"], ["i", "tree"], ["k", "parsing"]]));
    }

    #[test]
    fn courses_say_who_may_see_their_content() {
        let database = Database::new(&[include_str!("../../migrations/0002_search.sql")]);
        let drafted = json!({"course_id": "c", "teacher_id": "t", "code": "C", "title": "T", "description": "",
            "capacity": 1, "price": 0, "currency": "XXX", "prerequisites": []});
        let published = CoursePublished { course_id: "c".into(), teacher_id: "t".into() };
        database.run(&apply(&event(1, CourseDrafted::TYPE, &drafted)).unwrap());
        database.run(&apply(&event(2, CoursePublished::TYPE, &published)).unwrap());
        assert_eq!(database.rows("SELECT * FROM content_search_courses", &[]), json!([["c", "t", 1]]));
        database.run(&apply(&event(3, CourseUndone::TYPE, &CourseUndone { course_id: "c".into() })).unwrap());
        assert_eq!(database.rows("SELECT * FROM content_search_courses", &[]), json!([]));
    }
}
