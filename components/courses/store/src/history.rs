//! Courses in the event store: a course's events are read back for the domain to decide on, and what it decides is
//! appended. A course that was made before its events were kept is taken over as it stands, with the first command.

use courses_domain::course;
use courses_domain::lifecycle::{Event, State, evolve};
use courses_domain::money::Price;
use education::events::facts::{CourseDrafted, CoursePublished, CourseUndone, Fact, course_stream, unknown};
use weft_guest::events::{self, ExpectedVersion, NewEvent, RecordedEvent};
use weft_guest::operation::Effect;
use weft_guest::sql::Error;

use crate::Course;

/// What the events of a course come to.
#[derive(Debug)]
pub struct History {
    /// For the domain.
    pub state: State,
    id: String,
    version: u64,
    /// What a course from before has done already.
    taken_over: Vec<Event>,
}

impl History {
    /// Reads the events of a course.
    ///
    /// # Errors
    /// As the database says.
    pub async fn load(id: &str) -> Result<Self, Error> {
        let (state, version) =
            events::fold(&course_stream(id), State::default(), |state, event| Ok(evolve(state, &read(event)?))).await?;
        let mut history = Self { state, version, ..Self::none(id) };
        if version == 0 {
            history.taken_over = Course::load(id).await?.map(from_before).unwrap_or_default();
            history.state = history.taken_over.iter().fold(history.state, evolve);
        }
        Ok(history)
    }

    /// That of a course that is only about to be made.
    #[must_use]
    pub fn none(id: &str) -> Self {
        Self { state: State::default(), id: id.to_owned(), version: 0, taken_over: Vec::new() }
    }

    /// Lets events land with an effect, if nobody appends first.
    pub fn append<T, E>(self, effect: Effect<T, E>, decided: &[Event]) -> Effect<T, E> {
        if decided.is_empty() {
            return effect;
        }
        let teacher_id = decided.iter().fold(self.state, evolve).teacher_id;
        let events = self.taken_over.iter().chain(decided).map(|event| written(&self.id, &teacher_id, event));
        effect.append(&course_stream(&self.id), ExpectedVersion::after(self.version), events.collect())
    }
}

fn written(id: &str, teacher_id: &str, event: &Event) -> NewEvent {
    let (course_id, teacher_id) = (id.to_owned(), teacher_id.to_owned());
    match event {
        Event::Created { course, .. } => {
            let course::Course { code, title, description, capacity, price, prerequisites } = (**course).clone();
            let Price { amount: price, currency } = price;
            CourseDrafted { course_id, teacher_id, code, title, description, capacity, price, currency, prerequisites }
                .event()
        }
        Event::Published => CoursePublished { course_id, teacher_id }.event(),
        Event::Undone => CourseUndone { course_id }.event(),
    }
}

fn read(event: &RecordedEvent) -> Result<Event, Error> {
    Ok(match event.type_.as_str() {
        CourseDrafted::TYPE => {
            let CourseDrafted {
                teacher_id, code, title, description, capacity, price, currency, prerequisites, ..
            } = event.decode()?;
            let price = Price { amount: price, currency };
            let course = course::Course { code, title, description, capacity, price, prerequisites };
            Event::Created { teacher_id, course: Box::new(course) }
        }
        CoursePublished::TYPE => Event::Published,
        CourseUndone::TYPE => Event::Undone,
        other => return Err(unknown(&event.stream, other)),
    })
}

fn from_before(course: Course) -> Vec<Event> {
    let Course { code, title, description, teacher_id, capacity, price, currency, prerequisites, published, .. } =
        course;
    let capacity = u32::try_from(capacity).unwrap_or(u32::MAX);
    let price = Price { amount: price, currency };
    let course = Box::new(course::Course { code, title, description, capacity, price, prerequisites });
    let created = Event::Created { teacher_id, course };
    if published { vec![created, Event::Published] } else { vec![created] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course() -> Box<course::Course> {
        let price = Price { amount: 500, currency: "EUR".into() };
        let (code, title, description) = ("CS-101".into(), "Compilers".into(), "How".into());
        Box::new(course::Course { code, title, description, capacity: 3, price, prerequisites: vec!["p".into()] })
    }

    #[test]
    fn what_is_written_is_read_again() {
        let created = Event::Created { teacher_id: "t".into(), course: course() };
        for event in [created, Event::Published, Event::Undone] {
            let NewEvent { type_, data, .. } = written("c", "t", &event);
            let recorded = RecordedEvent {
                position: 1,
                stream: course_stream("c"),
                version: 1,
                id: "e".into(),
                type_,
                time_ms: 0,
                correlation_id: None,
                causation_id: None,
                metadata: None,
                data,
            };
            assert_eq!(read(&recorded).unwrap(), event);
        }
    }
}
