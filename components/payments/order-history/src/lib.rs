//! The projections order-history (what students were charged and refunded), order-enrollments and order-courses (for which
//! course, as other contexts tell). Pure: the statements depend on the events alone.

use education::events::facts::{Charged, CourseDrafted, EnrollmentCreated, Fact, Refunded};
use weft_guest::events::SourceEvent;
use weft_guest::params;
use weft_guest::sql::{Statement, sql};

async fn project(events: Vec<SourceEvent>) -> Result<Vec<Statement>, String> {
    events.iter().map(apply).filter_map(Result::transpose).collect()
}

fn apply(event: &SourceEvent) -> Result<Option<Statement>, String> {
    Ok(Some(match event.type_.as_str() {
        Charged::TYPE => {
            let Charged { payment_id, student_id, enrollment_id, amount, currency, provider } = event.decode()?;
            sql(
                "INSERT INTO payments_orders \
                 (payment_id, student_id, enrollment_id, amount, currency, provider, status, charged_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, 'charged', $7)",
                params![payment_id, student_id, enrollment_id, amount, currency, provider, &event.time],
            )
        }
        Refunded::TYPE => {
            let Refunded { payment_id, .. } = event.decode()?;
            sql(
                "UPDATE payments_orders SET status = 'refunded', refunded_at = $2 WHERE payment_id = $1",
                params![payment_id, &event.time],
            )
        }
        EnrollmentCreated::TYPE => {
            let EnrollmentCreated { enrollment_id, course_id, .. } = event.decode()?;
            sql(
                "INSERT INTO payments_order_enrollments (enrollment_id, course_id) VALUES ($1, $2)",
                params![enrollment_id, course_id],
            )
        }
        CourseDrafted::TYPE => {
            let CourseDrafted { course_id, title, .. } = event.decode()?;
            sql(
                "INSERT INTO payments_order_courses (course_id, course_title) VALUES ($1, $2)",
                params![course_id, title],
            )
        }
        _ => return Ok(None),
    }))
}

weft_guest::projection!(project);

#[cfg(test)]
mod tests {
    use projection_testing::{Database, event};
    use weft_guest::serde_json::json;

    use super::*;

    #[test]
    fn orders_tell_what_was_charged_and_given_back() {
        let database = Database::new(&[include_str!("../../migrations/0002_orders.sql")]);
        let charged = |id: &str, amount| Charged {
            payment_id: id.into(),
            student_id: "s".into(),
            enrollment_id: format!("e{id}"),
            amount,
            currency: "EUR".into(),
            provider: "sandbox".into(),
        };
        let (payment_id, student_id, currency) = ("2".to_owned(), "s".to_owned(), "EUR".to_owned());
        let refunded = Refunded { payment_id, student_id, amount: 7, currency };
        let (student_id, course_id) = ("s".to_owned(), "c".to_owned());
        let enrolled = EnrollmentCreated { enrollment_id: "e1".into(), student_id, course_id, payment_id: None };
        let drafted = json!({"course_id": "c", "teacher_id": "t", "code": "C", "title": "Compilers", "description": "",
            "capacity": 1, "price": 0, "currency": "XXX", "prerequisites": []});
        let events = [
            event(1, Charged::TYPE, &charged("1", 500)),
            event(2, Charged::TYPE, &charged("2", 7)),
            event(3, Refunded::TYPE, &refunded),
            event(4, EnrollmentCreated::TYPE, &enrolled),
            event(5, CourseDrafted::TYPE, &drafted),
        ];
        for event in &events {
            database.run(apply(event).unwrap().as_slice());
        }
        let sql = "SELECT payment_id, amount, status, refunded_at, course_title FROM payments_orders \
                   LEFT JOIN payments_order_enrollments USING (enrollment_id) \
                   LEFT JOIN payments_order_courses USING (course_id) WHERE student_id = $1 ORDER BY payment_id";
        let wanted =
            json!([["1", 500, "charged", null, "Compilers"], ["2", 7, "refunded", "2026-11-20T08:00:03.000Z", null],]);
        assert_eq!(database.rows(sql, &params!["s"]), wanted);
    }
}
