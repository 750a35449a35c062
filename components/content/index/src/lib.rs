//! education:content/index: lets searches find content by its terms, called by the saga or upon `content.processed`, and
//! takes that back.

use content_domain::lifecycle::Command;
use content_store::Content;
use content_store::history::{History, Route};
use content_store::runs::{self, Stage, Work};
use education::exports::content_index::{Error, Guest, export};
use weft_guest::messaging::{Delivery, Refusal};
use weft_guest::operation::{Effect, command, undo};
use weft_guest::params;
use weft_guest::sql::{query_first, sql};

const INDEX: &str = "education:content/index@1.0.0#index";

struct Index;

impl Guest for Index {
    async fn index(key: String, content_id: String) -> Result<(), Error> {
        command(INDEX, &key, &content_id, async || {
            let Work { command, statements } = work(&content_id, &key).await?;
            let add = |effect: Effect<_, _>, statement| effect.then_or(statement, Error::NotFound);
            let effect = statements.into_iter().fold(Effect::answer(()), add);
            Ok(History::load(&content_id).await?.apply(effect, command, Route::Facts)?.0)
        })
        .await
    }

    async fn unindex(key: String) -> Result<(), Error> {
        undo(INDEX, &key, async || {
            let find = "SELECT content_id FROM content_index WHERE indexed_by = $1 LIMIT 1";
            let Some(row) = query_first(find, params![&key]).await? else { return Ok(Effect::answer(())) };
            let delete = sql("DELETE FROM content_index WHERE indexed_by = $1", params![&key]);
            let history = History::load(&row.text("content_id")?).await?;
            Ok(history.apply(Effect::answer(()).then(delete), Command::Unindex, Route::Facts)?.0)
        })
        .await
        .map(drop)
    }
}

async fn react(delivery: Delivery) -> Result<(), Refusal> {
    runs::react(delivery, Stage::Index, work).await
}

/// What both forms do.
async fn work(id: &str, key: &str) -> Result<Work, Error> {
    let content = Content::wanted(id).await?;
    let insert = |term: String| {
        sql(
            "INSERT INTO content_index (term, content_id, indexed_by) VALUES ($1, $2, $3)",
            params![term, &content.id, key],
        )
    };
    let statements = Content::terms(id).await?.into_iter().map(insert).collect();
    Ok(Work { command: Command::Index, statements })
}

export!(Index with_types_in education::exports::content_index::bindings);
weft_guest::subscription!(react);
