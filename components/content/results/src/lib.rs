//! education:content/results: makes the summary of content, called by the saga or upon `content.uploaded`, and takes that
//! back.

use content_domain::processing::process;
use content_domain::upload::Kind;
use content_store::Content;
use content_store::runs::{self, Stage};
use education::content::types::Summary;
use education::exports::results::{Error, Guest, export};
use weft_guest::messaging::{Delivery, Refusal};
use weft_guest::operation::{Effect, operation, revoke};
use weft_guest::params;
use weft_guest::sql::{Statement, sql};

const PROCESS: &str = "education:content/results@1.0.0#process";

struct Results;

impl Guest for Results {
    async fn process(key: String, content_id: String) -> Result<Summary, Error> {
        operation(PROCESS, &key, &content_id, async || {
            let (statements, summary) = work(&content_id, &key).await?;
            let add = |effect: Effect<_, _>, statement| effect.then_or(statement, Error::NotFound);
            Ok(statements.into_iter().fold(Effect::answer(summary), add))
        })
        .await
    }

    async fn discard_result(key: String) -> Result<(), Error> {
        let terms = sql(
            "DELETE FROM content_terms WHERE content_id IN (SELECT content_id FROM content_results WHERE made_by = $1)",
            params![&key],
        );
        let result = sql("DELETE FROM content_results WHERE made_by = $1", params![&key]);
        revoke(PROCESS, &key, vec![terms, result], Vec::new()).await.map(drop)
    }
}

async fn react(delivery: Delivery) -> Result<(), Refusal> {
    runs::react(delivery, Stage::Process, async |id, key| work(id, key).await.map(|(statements, _)| statements)).await
}

/// What both forms do: the summary, and the statements that keep it.
async fn work(id: &str, key: &str) -> Result<(Vec<Statement>, Summary), Error> {
    let content = Content::wanted(id).await?;
    let invalid = |reason: String| Error::Invalid(reason);
    let kind = Kind::parse(&content.kind).map_err(|error| invalid(error.to_string()))?;
    let summary = process(kind, &Content::text(id).await?).map_err(|error| invalid(error.to_string()))?;
    let result = sql(
        "INSERT INTO content_results (content_id, words, minutes, excerpt, made_by) VALUES ($1, $2, $3, $4, $5)",
        params![id, summary.words, summary.minutes, &summary.excerpt, key],
    );
    let terms = summary.terms.iter().zip(0_u32..).map(|(term, place)| {
        sql(
            "INSERT INTO content_terms (content_id, place, term, occurrences) VALUES ($1, $2, $3, $4)",
            params![id, place, &term.term, term.occurrences],
        )
    });
    let statements = std::iter::once(result).chain(terms).collect();
    let terms = summary.terms.iter().map(|term| term.term.clone()).collect();
    let (words, minutes, excerpt) = (summary.words, summary.minutes, summary.excerpt);
    Ok((statements, Summary { content_id: content.id, words, minutes, excerpt, terms }))
}

export!(Results with_types_in education::exports::results::bindings);
weft_guest::subscription!(react);
