//! `weft test saga` finds the mistakes that were planted for it, by the step that made them, and no others: the same
//! saga without a mistake passes, and so does the enrollment.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use weft_tests::course::{publish, student_id};
use weft_tests::platform::Platform;
use weft_tests::saga_harness::{Report, SagaTest};

const PLANTED: &str = "components/examples/planted-saga/spin.toml";

fn planted(mistake: &str) -> SagaTest {
    order(mistake, false)
}

fn order(mistake: &str, needs_approval: bool) -> SagaTest {
    let order = json!(["order-1", {"mistake": mistake, "needs-approval": needs_approval}]);
    SagaTest::new("planted", order).manifest(PLANTED)
}

/// Whom the findings blame.
fn blamed(report: &Report) -> BTreeSet<&str> {
    report.findings().iter().map(|case| case.step.as_deref().unwrap_or("nobody")).collect()
}

#[test]
fn a_saga_without_a_mistake_passes() {
    let report = planted("none").run();
    report.assert_clean();
    // Four steps, each with its compensation, and a record for each of them, the beginning and the end.
    for (fault, count) in [("fail", 4), ("fail after", 4), ("repeat", 8), ("fail, then resolve", 4), ("kill", 6)] {
        assert_eq!(report.count(fault), count, "{fault}: {:#?}", report.cases);
    }
    assert_eq!(report.case("count", "fail after").outcome, "compensated");
    assert_eq!(report.case("undo count", "fail, then resolve").outcome, "needs-attention, resolved: compensated");
}

#[test]
fn a_step_without_a_compensation_is_found() {
    let report = planted("forgetful").run();
    assert_eq!((report.exit_code, blamed(&report)), (1, BTreeSet::from(["ship"])));
    // The step after it shows it, and so does its own answer that is lost.
    for (node, fault) in [("bill", "fail"), ("bill", "fail after"), ("ship", "fail after")] {
        let case = report.case(node, fault);
        let what = case.what.as_deref().unwrap_or_default();
        assert!(what.contains("not compensated") && what.contains("what=ship"), "{case:?}");
    }
    assert_eq!(report.findings().len(), 3);
}

#[test]
fn a_step_that_is_not_idempotent_is_found() {
    let report = planted("twice").run();
    assert_eq!((report.exit_code, blamed(&report)), (1, BTreeSet::from(["count"])));
    let repeated = report.case("count", "repeat");
    assert!(repeated.what.as_deref().is_some_and(|what| what.contains("n=2") && what.contains("n=1")), "{repeated:?}");
    assert_eq!(report.case("undo count", "repeat").verdict, "finding");
}

#[test]
fn signals_come_late_and_twice() {
    let report = order("none", true).signal("approval", &json!(true)).run();
    report.assert_clean();
    assert_eq!(report.case("signals", "late").outcome, "completed");
    assert_eq!(report.case("signals", "twice").outcome, "completed");
    let refused = order("none", true).signal("approval", &json!(false)).run();
    refused.assert_clean();
    assert_eq!(refused.case("signals", "late").outcome, "compensated");
}

/// The enrollment with this payment, in a course with one seat.
fn enrollment(payment: &str) -> Report {
    let mut platform = Platform::start();
    let course = publish(&platform, 1, 4_900);
    assert!(platform.stop().success());
    let payment: Value = json!({"provider": "sandbox", "token": payment});
    let request = json!({"student-id": student_id(1), "course-id": course, "payment": payment});
    SagaTest::new("enrollment-enrolling", json!(["enrollment-1", request]))
        .from(&platform)
        // A refund keeps the payment it is about, and who was told is told that it came to nothing.
        .may_leave("payments.payments_payments:status=refunded")
        .may_leave("notifications.notifications_notifications")
        .may_leave("push.messages")
        .run()
}

#[test]
fn the_enrollment_passes() {
    let report = enrollment("tok_ok");
    report.assert_clean();
    assert_eq!((report.count("fail"), report.count("fail, then resolve")), (5, 4), "{:#?}", report.cases);
    assert_eq!(report.case("notify", "fail after").outcome, "compensated");
}

#[test]
fn an_enrollment_that_is_declined_passes() {
    let report = enrollment("tok_declined");
    report.assert_clean();
    assert_eq!(report.case("undo reserve-seat", "repeat").outcome, "compensated");
}
