//! What contexts append to their event stores in the commits that make it so: one stream a thing (`user-<id>`,
//! `course-<id>`, `content-<id>`, `enrollment-<id>`, `payment-<id>`). Each event is published under its type. Notices,
//! which sagas send when all is done and which are worded for people, are others: see the parent.

use serde::{Deserialize, Serialize};
use weft_guest::events::NewEvent;
use weft_guest::serde_json::{Map, Value};
use weft_guest::sql::Error;

/// The data of one type of event.
pub trait Fact: Serialize + Sized {
    /// CloudEvents type.
    const TYPE: &'static str;

    /// The event on its way into a stream.
    fn event(&self) -> NewEvent {
        NewEvent::new(Self::TYPE, self)
    }
}

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident = $kind:literal { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type),* }

        impl Fact for $name {
            const TYPE: &'static str = $kind;
        }
    )+};
}

facts! {
    /// There is an account. It may be taken back, as long as its registration is not over.
    AccountCreated = "education.identity.account-created" {
        /// Id of the account.
        user_id: String,
        /// Its e-mail.
        email: String,
        /// Its name.
        name: String,
        /// Its role.
        role: String,
    }
    /// An account was taken back.
    AccountUndone = "education.identity.account-undone" {
        /// Id of the account.
        user_id: String,
    }
    /// An account's owner has changed its name or preferences. The event has all of them, as they are now.
    ProfileUpdated = "education.identity.profile-updated" {
        /// Id of the account.
        user_id: String,
        /// Its e-mail.
        email: String,
        /// Its name.
        name: String,
        /// Its preferences.
        preferences: Map<String, Value>,
    }
    /// An admin gave an account another role.
    RoleChanged = "education.identity.role-changed" {
        /// Id of the account.
        user_id: String,
        /// The role that it has now.
        role: String,
        /// Account of the admin.
        changed_by: String,
    }

    /// There is a course, which its teacher and admins see.
    CourseDrafted = "education.courses.course-drafted" {
        /// Id of the course.
        course_id: String,
        /// Account of its teacher.
        teacher_id: String,
        /// Its short name.
        code: String,
        /// Its title.
        title: String,
        /// What it is about.
        description: String,
        /// Its seats.
        capacity: u32,
        /// Minor units of `currency`.
        price: u64,
        /// ISO 4217.
        currency: String,
        /// Ids of the courses that have to be completed first.
        prerequisites: Vec<String>,
    }
    /// A course was opened to everybody.
    CoursePublished = "education.courses.course-published" {
        /// Id of the course.
        course_id: String,
        /// Account of its teacher.
        teacher_id: String,
    }
    /// The making of a course was taken back.
    CourseUndone = "education.courses.course-undone" {
        /// Id of the course.
        course_id: String,
    }

    /// Somebody holds an active enrollment.
    EnrollmentCreated = "education.enrollment.enrollment-created" {
        /// Id of the enrollment.
        enrollment_id: String,
        /// Account of the student.
        student_id: String,
        /// Id of the course.
        course_id: String,
        /// Id of what was paid for it.
        payment_id: Option<String>,
    }
    /// A student passed.
    EnrollmentCompleted = "education.enrollment.enrollment-completed" {
        /// Id of the enrollment.
        enrollment_id: String,
        /// Account of the student.
        student_id: String,
        /// Id of the course.
        course_id: String,
        /// How well.
        grade: String,
    }
    /// An enrollment is over.
    EnrollmentCancelled = "education.enrollment.enrollment-cancelled" {
        /// Id of the enrollment.
        enrollment_id: String,
        /// Account of the student.
        student_id: String,
        /// Id of the course.
        course_id: String,
    }
    /// An enrollment was taken back, because enrolling did not come to its end.
    EnrollmentUndone = "education.enrollment.enrollment-undone" {
        /// Id of the enrollment.
        enrollment_id: String,
    }

    /// Money was taken, or nothing for a course that is free.
    Charged = "education.payments.charged" {
        /// Id of the payment.
        payment_id: String,
        /// Account of who pays.
        student_id: String,
        /// What it is for.
        enrollment_id: String,
        /// Minor units of `currency`.
        amount: u64,
        /// ISO 4217.
        currency: String,
        /// Who took it.
        provider: String,
    }
    /// Money was given back.
    Refunded = "education.payments.refunded" {
        /// Id of the payment.
        payment_id: String,
        /// Account of who paid.
        student_id: String,
        /// Minor units of `currency`.
        amount: u64,
        /// ISO 4217.
        currency: String,
    }
}

/// The stream of an account.
#[must_use]
pub fn user_stream(id: &str) -> String {
    format!("user-{id}")
}

/// The stream of a course.
#[must_use]
pub fn course_stream(id: &str) -> String {
    format!("course-{id}")
}

/// The stream of content; its events are [`Happened`](super::content::Happened).
#[must_use]
pub fn content_stream(id: &str) -> String {
    format!("content-{id}")
}

/// The stream of an enrollment.
#[must_use]
pub fn enrollment_stream(id: &str) -> String {
    format!("enrollment-{id}")
}

/// The stream of a payment.
#[must_use]
pub fn payment_stream(id: &str) -> String {
    format!("payment-{id}")
}

/// An event of a stream that has a type it should not have: a newer version of us has written it.
#[must_use]
pub fn unknown(stream: &str, kind: &str) -> Error {
    Error::Invalid(format!("{stream} has an event of type {kind}, which this version does not know"))
}
