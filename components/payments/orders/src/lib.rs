//! GET /api/orders: what who asks was charged and refunded, and for which course, out of the read model of the projection
//! order-history, which follows what happens a moment later.

use weft_guest::http::{Problem, Request, Response};
use weft_guest::params;
use weft_guest::read_model::{self, Column, Kind, ReadModel, Scope};

const ORDERS: ReadModel = ReadModel {
    table: "payments_orders LEFT JOIN payments_order_enrollments USING (enrollment_id) \
            LEFT JOIN payments_order_courses USING (course_id)",
    key: "payment_id",
    columns: &[
        Column::new("payment_id", Kind::Text).filtered().sorted(),
        Column::new("enrollment_id", Kind::Text).filtered(),
        Column::new("course_id", Kind::Text).filtered(),
        Column::new("course_title", Kind::Text).filtered(),
        Column::new("amount", Kind::Integer).filtered().sorted(),
        Column::new("currency", Kind::Text).filtered().sorted(),
        Column::new("provider", Kind::Text).filtered().on_demand(),
        Column::new("status", Kind::OneOf(&["charged", "refunded"])).filtered().sorted(),
        Column::new("charged_at", Kind::Text).filtered().sorted(),
        Column::new("refunded_at", Kind::Text).filtered(),
    ],
    sort: "-charged_at",
    terms: None,
};

async fn handle(request: Request) -> Result<Response, Problem> {
    let user = request.require_user()?;
    let scope = Scope::only("student_id = $1", params![&user.id]);
    Ok(Response::json(200, &read_model::answer(&ORDERS, &request, scope).await?))
}

weft_guest::http_handler!(handle);
