//! education:content/index: lets searches find content by its terms, called by the saga or upon `content.processed`, and
//! takes that back.

use content_store::Content;
use content_store::runs::{self, Stage};
use education::exports::content_index::{Error, Guest, export};
use weft_guest::messaging::{Delivery, Refusal};
use weft_guest::operation::{Effect, operation, revoke};
use weft_guest::params;
use weft_guest::sql::{Statement, sql};

const INDEX: &str = "education:content/index@1.0.0#index";

struct Index;

impl Guest for Index {
    async fn index(key: String, content_id: String) -> Result<(), Error> {
        operation(INDEX, &key, &content_id, async || {
            let add = |effect: Effect<_, _>, statement| effect.then_or(statement, Error::NotFound);
            Ok(work(&content_id, &key).await?.into_iter().fold(Effect::answer(()), add))
        })
        .await
    }

    async fn unindex(key: String) -> Result<(), Error> {
        let delete = sql("DELETE FROM content_index WHERE indexed_by = $1", params![&key]);
        revoke(INDEX, &key, vec![delete], Vec::new()).await.map(drop)
    }
}

async fn react(delivery: Delivery) -> Result<(), Refusal> {
    runs::react(delivery, Stage::Index, work).await
}

/// What both forms do.
async fn work(id: &str, key: &str) -> Result<Vec<Statement>, Error> {
    let content = Content::wanted(id).await?;
    let insert = |term: String| {
        sql(
            "INSERT INTO content_index (term, content_id, indexed_by) VALUES ($1, $2, $3)",
            params![term, &content.id, key],
        )
    };
    Ok(Content::terms(id).await?.into_iter().map(insert).collect())
}

export!(Index with_types_in education::exports::content_index::bindings);
weft_guest::subscription!(react);
