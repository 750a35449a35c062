//! education:notifications/inbox: what users have been told, for other functions.

use education::exports::inbox::{Error, Guest, Notice, export};
use weft_guest::params;
use weft_guest::sql::query;

const RECENT_MAX: u32 = 100;

struct Inbox;

impl Guest for Inbox {
    async fn recent(user_id: String, limit: u32) -> Result<Vec<Notice>, Error> {
        let select = "SELECT id, kind, title, body, created_at FROM notifications_notifications \
                      WHERE audience = $1 ORDER BY id DESC LIMIT $2";
        let rows = query(select, params![user_id, limit.min(RECENT_MAX)]).await?;
        let notice = |row: &weft_guest::sql::Row| {
            Ok(Notice {
                id: row.text("id")?,
                kind: row.text("kind")?,
                title: row.text("title")?,
                body: row.text("body")?,
                created_at: row.text("created_at")?,
            })
        };
        rows.iter().map(notice).collect()
    }
}

export!(Inbox with_types_in education::exports::inbox::bindings);
