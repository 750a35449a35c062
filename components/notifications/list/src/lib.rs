//! GET /api/notifications: what one has been told, newest first; admins also see what all admins have been told.

use notifications_domain::ADMINS;
use serde::Serialize;
use weft_guest::http::{Problem, Request, Response};
use weft_guest::sql::{Error, Row, query};
use weft_guest::{cursor, params};

const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u32 = 100;
/// Sorts after every id.
const NEWEST: &str = "g";

#[derive(Serialize)]
struct Item {
    id: String,
    kind: String,
    title: String,
    body: String,
    created_at: String,
    /// What came of the text message, if one was to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    sms: Option<Sms>,
}

#[derive(Serialize)]
struct Sms {
    status: String,
    detail: String,
    parts: u64,
}

#[derive(Serialize)]
struct Page {
    items: Vec<Item>,
    next_cursor: Option<String>,
}

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let limit = request.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let [before] = request.cursor::<1>()?.unwrap_or_else(|| [NEWEST.to_owned()]);
    // One more than asked for tells whether there is a next page.
    let mut parameters = params![&user.id, before, limit + 1];
    let audience = if user.is_admin() {
        parameters.push(ADMINS.into());
        "audience IN ($1, $4)"
    } else {
        "audience = $1"
    };
    let text = format!(
        "SELECT id, kind, title, body, notifications_notifications.created_at AS created_at, status, detail, parts \
         FROM notifications_notifications \
         LEFT JOIN notifications_deliveries ON notification_id = id AND channel = 'sms' \
         WHERE {audience} AND id < $2 ORDER BY id DESC LIMIT $3"
    );
    let rows = query(&text, parameters).await?;
    let mut items = rows.iter().map(item).collect::<Result<Vec<_>, _>>()?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_cursor = items.last().filter(|_| more).map(|last| cursor::encode(&[&last.id]));
    Ok(Response::json(200, &Page { items, next_cursor }))
}

fn item(row: &Row) -> Result<Item, Error> {
    let sms = match row.optional_text("status")? {
        Some(status) => Some(Sms { status, detail: row.text("detail")?, parts: row.count("parts")? }),
        None => None,
    };
    Ok(Item {
        id: row.text("id")?,
        kind: row.text("kind")?,
        title: row.text("title")?,
        body: row.text("body")?,
        created_at: row.text("created_at")?,
        sms,
    })
}

weft_guest::http_handler!(handle);
