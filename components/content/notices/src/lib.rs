//! education:content/notices: publishes content and says so, called by the saga or upon `content.indexed`, and takes that
//! back. Other contexts hear the same in both forms.

use content_store::Content;
use content_store::runs::{self, Stage};
use education::events::content::Happened;
use education::exports::notices::{Error, Guest, export};
use weft_guest::messaging::{Delivery, Refusal};
use weft_guest::operation::{Effect, operation, revoke};
use weft_guest::params;
use weft_guest::sql::{Statement, sql};

const NOTIFY: &str = "education:content/notices@1.0.0#notify";

struct Notices;

impl Guest for Notices {
    async fn notify(key: String, content_id: String, saga_id: String) -> Result<(), Error> {
        operation(NOTIFY, &key, &(&content_id, &saga_id), async || {
            let event = Content::wanted(&content_id).await?.event().notice(Happened::Published, &saga_id);
            Ok(Effect::answer(()).then_or(stand(&content_id, "published"), Error::NotFound).event(event))
        })
        .await
    }

    async fn withdraw(key: String, content_id: String, saga_id: String) -> Result<(), Error> {
        // Without the content there is nothing that could have been said of it, and nobody to tell.
        let event = Content::load(&content_id).await?.map(|content| content.event());
        let events = event.map(|event| event.notice(Happened::Withdrawn, &saga_id)).into_iter().collect();
        revoke(NOTIFY, &key, vec![stand(&content_id, "uploaded")], events).await.map(drop)
    }
}

async fn react(delivery: Delivery) -> Result<(), Refusal> {
    runs::react(delivery, Stage::Notify, async |id, _| {
        Content::wanted(id).await?;
        Ok(vec![stand(id, "published")])
    })
    .await
}

fn stand(id: &str, status: &str) -> Statement {
    sql("UPDATE content_contents SET status = $2 WHERE id = $1", params![id, status]).expect_rows(1)
}

export!(Notices with_types_in education::exports::notices::bindings);
weft_guest::subscription!(react);
