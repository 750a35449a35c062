//! The data of the platform's events, shared by who publishes and who subscribes.

pub mod content;
pub mod facts;

use serde::{Deserialize, Serialize};
use weft_guest::messaging::Outgoing;

/// Topic of [`Registered`].
pub const REGISTERED_TOPIC: &str = "identity.user-registered";
/// CloudEvents type of [`Registered`].
pub const REGISTERED_TYPE: &str = "education.identity.user-registered";
/// Topic of what takes [`Registered`] back.
pub const REGISTRATION_UNDONE_TOPIC: &str = "identity.registration-undone";
/// CloudEvents type of what takes [`Registered`] back.
pub const REGISTRATION_UNDONE_TYPE: &str = "education.identity.registration-undone";
/// Topic of [`CourseCreated`].
pub const COURSE_CREATED_TOPIC: &str = "courses.course-created";
/// CloudEvents type of [`CourseCreated`].
pub const COURSE_CREATED_TYPE: &str = "education.courses.course-created";
/// Topic of what takes [`CourseCreated`] back.
pub const CREATION_UNDONE_TOPIC: &str = "courses.creation-undone";
/// CloudEvents type of what takes [`CourseCreated`] back.
pub const CREATION_UNDONE_TYPE: &str = "education.courses.creation-undone";
/// Topic of [`Enrolled`].
pub const ENROLLED_TOPIC: &str = "enrollment.enrolled";
/// CloudEvents type of [`Enrolled`].
pub const ENROLLED_TYPE: &str = "education.enrollment.enrolled";
/// Topic of [`Cancelled`].
pub const CANCELLED_TOPIC: &str = "enrollment.cancelled";
/// CloudEvents type of [`Cancelled`].
pub const CANCELLED_TYPE: &str = "education.enrollment.cancelled";

/// Somebody has an account now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Id of the account.
    pub user_id: String,
    /// The account's e-mail.
    pub email: String,
    /// The account's name.
    pub name: String,
}

/// There is a course more, which only its teacher and admins see yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CourseCreated {
    /// Id of the course.
    pub course_id: String,
    /// Title of the course, for the notification's text.
    pub course_title: String,
    /// Account id of its teacher.
    pub teacher_id: String,
}

/// A student is enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// Id of the enrollment.
    pub enrollment_id: String,
    /// Account id of the student.
    pub student_id: String,
    /// Id of the course.
    pub course_id: String,
    /// Title of the course, for the notification's text.
    pub course_title: String,
}

/// An enrollment is cancelled, by its student or because enrolling did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Id of the enrollment.
    pub enrollment_id: String,
    /// Account id of the student.
    pub student_id: String,
    /// Id of the course.
    pub course_id: String,
    /// Title of the course, for the notification's text.
    pub course_title: String,
}

impl Registered {
    /// The event on its way out; `saga` is the key of the saga that it belongs to.
    pub fn notice(&self, saga: &str) -> Outgoing {
        about(&self.user_id, saga, Outgoing::new(REGISTERED_TOPIC, REGISTERED_TYPE, self))
    }

    /// What takes the event back.
    pub fn undone(&self, saga: &str) -> Outgoing {
        about(&self.user_id, saga, Outgoing::new(REGISTRATION_UNDONE_TOPIC, REGISTRATION_UNDONE_TYPE, self))
    }
}

impl CourseCreated {
    /// The event on its way out; `saga` is the key of the saga that it belongs to.
    pub fn notice(&self, saga: &str) -> Outgoing {
        about(&self.course_id, saga, Outgoing::new(COURSE_CREATED_TOPIC, COURSE_CREATED_TYPE, self))
    }

    /// What takes the event back.
    pub fn undone(&self, saga: &str) -> Outgoing {
        about(&self.course_id, saga, Outgoing::new(CREATION_UNDONE_TOPIC, CREATION_UNDONE_TYPE, self))
    }
}

impl Enrolled {
    /// The event on its way out; `saga` is the key of the saga that it belongs to.
    pub fn notice(&self, saga: &str) -> Outgoing {
        about(&self.enrollment_id, saga, Outgoing::new(ENROLLED_TOPIC, ENROLLED_TYPE, self))
    }

    /// What takes this enrollment back.
    pub fn cancelled(&self) -> Cancelled {
        let Self { enrollment_id, student_id, course_id, course_title } = self.clone();
        Cancelled { enrollment_id, student_id, course_id, course_title }
    }
}

impl Cancelled {
    /// The event on its way out; `saga` is the key of the saga that it belongs to.
    pub fn notice(&self, saga: &str) -> Outgoing {
        about(&self.enrollment_id, saga, Outgoing::new(CANCELLED_TOPIC, CANCELLED_TYPE, self))
    }
}

/// Events about one thing are delivered in order: what takes something back comes after it.
fn about(id: &str, saga: &str, event: Outgoing) -> Outgoing {
    event.subject(id).ordering_key(id).correlation_id(saga)
}
