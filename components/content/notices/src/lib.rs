//! education:content/notices: publishes content and says so, called by the saga or upon `content.indexed`, and takes that
//! back. Other contexts hear the same in both forms.

use content_domain::lifecycle::Command;
use content_store::Content;
use content_store::history::{History, Route};
use content_store::runs::{self, Stage, Work};
use education::exports::notices::{Error, Guest, export};
use weft_guest::messaging::{Delivery, Refusal};
use weft_guest::operation::{Effect, command, undo};
use weft_guest::params;
use weft_guest::sql::{Statement, sql};

const NOTIFY: &str = "education:content/notices@1.0.0#notify";

struct Notices;

impl Guest for Notices {
    async fn notify(key: String, content_id: String, saga_id: String) -> Result<(), Error> {
        command(NOTIFY, &key, &(&content_id, &saga_id), async || {
            Content::wanted(&content_id).await?;
            let effect = Effect::answer(()).then_or(stand(&content_id, "published"), Error::NotFound);
            let history = History::load(&content_id).await?;
            Ok(history.apply(effect, Command::Publish, Route::Notices(&saga_id))?.0)
        })
        .await
    }

    async fn withdraw(key: String, content_id: String, saga_id: String) -> Result<(), Error> {
        undo(NOTIFY, &key, async || {
            // Without the content there is nothing that could have been said of it, and nobody to tell.
            if Content::load(&content_id).await?.is_none() {
                return Ok(Effect::answer(()));
            }
            let effect = Effect::answer(()).then(stand(&content_id, "uploaded"));
            let history = History::load(&content_id).await?;
            Ok(history.apply(effect, Command::Withdraw, Route::Notices(&saga_id))?.0)
        })
        .await
        .map(drop)
    }
}

async fn react(delivery: Delivery) -> Result<(), Refusal> {
    runs::react(delivery, Stage::Notify, async |id, _| {
        Content::wanted(id).await?;
        Ok(Work { command: Command::Publish, statements: vec![stand(id, "published")] })
    })
    .await
}

fn stand(id: &str, status: &str) -> Statement {
    sql("UPDATE content_contents SET status = $2 WHERE id = $1", params![id, status]).expect_rows(1)
}

export!(Notices with_types_in education::exports::notices::bindings);
weft_guest::subscription!(react);
