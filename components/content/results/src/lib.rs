//! education:content/results: makes the summary of content, called by the saga or upon `content.uploaded`, and takes that
//! back.

use std::collections::BTreeSet;

use content_domain::lifecycle::{Command, Outcome};
use content_domain::processing::process;
use content_domain::upload::Kind;
use content_store::Content;
use content_store::history::{History, Route};
use content_store::runs::{self, Stage, Work};
use education::content::types::Summary;
use education::exports::results::{Error, Guest, export};
use weft_guest::messaging::{Delivery, Refusal};
use weft_guest::operation::{Effect, command, undo};
use weft_guest::sql::{query_first, sql};
use weft_guest::{params, read_model};

const PROCESS: &str = "education:content/results@1.0.0#process";
/// The words that a search finds content by, in bytes: a fraction of what an event may have.
const FOUND_BY_BYTES: usize = 32 * 1024;

struct Results;

impl Guest for Results {
    async fn process(key: String, content_id: String) -> Result<Summary, Error> {
        command(PROCESS, &key, &content_id, async || {
            let (Work { command, statements }, summary) = work(&content_id, &key).await?;
            let add = |effect: Effect<_, _>, statement| effect.then_or(statement, Error::NotFound);
            let effect = statements.into_iter().fold(Effect::answer(summary), add);
            Ok(History::load(&content_id).await?.apply(effect, command, Route::Facts)?.0)
        })
        .await
    }

    async fn discard_result(key: String) -> Result<(), Error> {
        undo(PROCESS, &key, async || {
            let find = "SELECT content_id FROM content_results WHERE made_by = $1";
            let Some(row) = query_first(find, params![&key]).await? else { return Ok(Effect::answer(())) };
            let id = row.text("content_id")?;
            let terms = sql("DELETE FROM content_terms WHERE content_id = $1", params![&id]);
            let result = sql("DELETE FROM content_results WHERE content_id = $1", params![&id]);
            let effect = Effect::answer(()).then(terms).then(result);
            Ok(History::load(&id).await?.apply(effect, Command::Discard, Route::Facts)?.0)
        })
        .await
        .map(drop)
    }
}

async fn react(delivery: Delivery) -> Result<(), Refusal> {
    runs::react(delivery, Stage::Process, async |id, key| work(id, key).await.map(|(work, _)| work)).await
}

/// The words that a search finds a text by, each once, in their order.
fn found_by(text: &str) -> Vec<String> {
    let (mut seen, mut bytes) = (BTreeSet::new(), 0);
    let once = read_model::terms(text).into_iter().filter(|word| seen.insert(word.clone()));
    once.take_while(|word| {
        bytes += word.len();
        bytes <= FOUND_BY_BYTES
    })
    .collect()
}

/// What both forms do, and the summary.
async fn work(id: &str, key: &str) -> Result<(Work, Summary), Error> {
    let content = Content::wanted(id).await?;
    let invalid = |reason: String| Error::Invalid(reason);
    let kind = Kind::parse(&content.kind).map_err(|error| invalid(error.to_string()))?;
    let text = Content::text(id).await?;
    let summary = process(kind, &text).map_err(|error| invalid(error.to_string()))?;
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
    let (words, minutes, excerpt) = (summary.words, summary.minutes, summary.excerpt.clone());
    let command = Command::Process(Box::new(Outcome { summary, words: found_by(&text) }));
    Ok((Work { command, statements }, Summary { content_id: content.id, words, minutes, excerpt, terms }))
}

export!(Results with_types_in education::exports::results::bindings);
weft_guest::subscription!(react);
