//! education:courses/catalog: courses as other functions read them; by its id a course is found published or not.

use courses_store::Course as Stored;
use education::exports::catalog::{Course, Error, Guest, export};
use weft_guest::params;
use weft_guest::sql::query;

const PUBLISHED_MAX: u32 = 500;

struct Catalog;

impl Guest for Catalog {
    async fn get(id: String) -> Result<Course, Error> {
        Ok(course(Stored::load(&id).await?.ok_or(Error::NotFound)?))
    }

    async fn published(limit: u32) -> Result<Vec<Course>, Error> {
        let columns = Stored::COLUMNS;
        // Ids are UUIDv7: their order is that of time.
        let text = format!("SELECT {columns} FROM courses_courses WHERE published ORDER BY id DESC LIMIT $1");
        let rows = query(&text, params![limit.min(PUBLISHED_MAX)]).await?;
        rows.iter().map(|row| Ok(course(Stored::from_row(row)?))).collect()
    }
}

fn course(course: Stored) -> Course {
    Course {
        id: course.id,
        code: course.code,
        title: course.title,
        description: course.description,
        teacher_id: course.teacher_id,
        capacity: seats(course.capacity),
        price: course.price,
        currency: course.currency,
        prerequisites: course.prerequisites,
        published: course.published,
        seats_taken: seats(course.seats_taken),
    }
}

/// The domain permits far fewer.
fn seats(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

export!(Catalog with_types_in education::exports::catalog::bindings);
