//! education:courses/catalog: a course as other functions read it, published or not.

use courses_store::Course as Stored;
use education::exports::catalog::{Course, Error, Guest, export};

struct Catalog;

impl Guest for Catalog {
    async fn get(id: String) -> Result<Course, Error> {
        let course = Stored::load(&id).await?.ok_or(Error::NotFound)?;
        Ok(Course {
            id: course.id,
            code: course.code,
            title: course.title,
            teacher_id: course.teacher_id,
            capacity: seats(course.capacity),
            price: course.price,
            currency: course.currency,
            prerequisites: course.prerequisites,
            published: course.published,
            seats_taken: seats(course.seats_taken),
        })
    }
}

/// The domain permits far fewer.
fn seats(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

export!(Catalog with_types_in education::exports::catalog::bindings);
