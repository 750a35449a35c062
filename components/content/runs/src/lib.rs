//! education:content/runs: how a choreographed run stands, as its own steps have written it down.

use education::exports::runs::{Error, Guest, Run, Step, export};
use weft_guest::params;
use weft_guest::sql::{self, Row, query, query_first};

struct Runs;

impl Guest for Runs {
    async fn get(id: String) -> Result<Run, Error> {
        let text = "SELECT content_id, author_id, status, error FROM content_runs WHERE id = $1";
        let run = query_first(text, params![&id]).await?.ok_or(Error::NotFound)?;
        let text = "SELECT name, undo, status, at, error FROM content_run_steps WHERE run_id = $1 ORDER BY number";
        let steps = query(text, params![&id]).await?;
        Ok(Run {
            id,
            content_id: run.text("content_id")?,
            author_id: run.text("author_id")?,
            status: run.text("status")?,
            error: run.optional_text("error")?,
            steps: steps.iter().map(step).collect::<Result<_, _>>()?,
        })
    }
}

fn step(row: &Row) -> Result<Step, sql::Error> {
    Ok(Step {
        name: row.text("name")?,
        undo: row.boolean("undo")?,
        status: row.text("status")?,
        at: row.text("at")?,
        error: row.optional_text("error")?,
    })
}

export!(Runs with_types_in education::exports::runs::bindings);
