//! What the errors of the steps mean to whoever enrolls.

use education::courses::{catalog, seats};
use education::enrollment::records;
use education::exports::enrolling::Error;
use education::payments::charges;
use weft_guest::{Failure, Fallible};

pub fn course(error: catalog::Error) -> Error {
    match error {
        catalog::Error::NotFound => Error::CourseNotFound,
        catalog::Error::Unavailable(failure) => Error::Unavailable(failure),
    }
}

pub fn seat(error: seats::Error) -> Error {
    match error {
        seats::Error::NotFound => Error::CourseNotFound,
        seats::Error::NotPublished => Error::NotPublished,
        seats::Error::Full => Error::CourseFull,
        seats::Error::AlreadyTaken => Error::AlreadyEnrolled,
        seats::Error::Revoked => revoked(),
        seats::Error::Unavailable(failure) => Error::Unavailable(failure),
    }
}

pub fn charge(error: charges::Error) -> Error {
    match error {
        charges::Error::Declined(reason) | charges::Error::Invalid(reason) => Error::PaymentDeclined(reason),
        charges::Error::Revoked => revoked(),
        charges::Error::Unavailable(failure) => Error::Unavailable(failure),
    }
}

pub fn record(error: records::Error) -> Error {
    match error {
        records::Error::AlreadyEnrolled => Error::AlreadyEnrolled,
        records::Error::PrerequisitesNotMet(missing) => Error::PrerequisitesNotMet(missing),
        records::Error::Revoked => revoked(),
        records::Error::Unavailable(failure) => Error::Unavailable(failure),
        records::Error::NotFound | records::Error::Conflict(_) => {
            Error::from_failure(Failure::not_attempted("the enrollment record was refused"))
        }
    }
}

/// The step's compensation has run already: this run of the saga is late.
fn revoked() -> Error {
    Error::from_failure(Failure::not_attempted("the step was undone already"))
}
