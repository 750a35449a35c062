//! A course as what has happened to it: commands are decided on what its events come to. Seats are not among them: see
//! `docs/decisions/0007-what-is-event-sourced.md`.

use crate::course::{Course, Viewer, may_change};

/// How far a course has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// There is none.
    #[default]
    Absent,
    /// Its teacher and admins alone see it.
    Draft,
    /// Everybody sees it, for good.
    Published,
    /// Its making was taken back.
    Undone,
}

/// What the events of a course come to, as far as commands ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// How far it has come.
    pub stage: Stage,
    /// Its teacher's account; empty while there is no course.
    pub teacher_id: String,
}

/// What somebody wants of a course.
#[derive(Clone, Debug)]
pub enum Command<'a> {
    /// To make it.
    Create {
        /// Whose it is.
        teacher_id: String,
        /// What it is.
        course: Box<Course>,
    },
    /// To open it to everybody.
    Publish {
        /// Who asks.
        viewer: Viewer<'a>,
    },
    /// To take its making back.
    Undo,
}

/// What has happened to a course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was made, as a draft.
    Created {
        /// Whose it is.
        teacher_id: String,
        /// What it is.
        course: Box<Course>,
    },
    /// It was opened to everybody.
    Published,
    /// Its making was taken back.
    Undone,
}

/// Why nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is, or was, a course with this id.
    Taken,
    /// There is no such course.
    Unknown,
    /// It is for its teacher and admins.
    NotYours,
}

/// What happens upon a command; nothing, if it is so already.
///
/// # Errors
/// Why it is not to happen.
pub fn decide(state: &State, command: Command<'_>) -> Result<Vec<Event>, Refused> {
    match (command, state.stage) {
        (Command::Create { teacher_id, course }, Stage::Absent) => Ok(vec![Event::Created { teacher_id, course }]),
        (Command::Create { .. }, _) => Err(Refused::Taken),
        (Command::Publish { .. }, Stage::Absent | Stage::Undone) => Err(Refused::Unknown),
        (Command::Publish { viewer }, _) if !may_change(viewer, &state.teacher_id) => Err(Refused::NotYours),
        (Command::Publish { .. }, Stage::Draft) => Ok(vec![Event::Published]),
        (Command::Publish { .. }, Stage::Published) => Ok(Vec::new()),
        (Command::Undo, Stage::Draft | Stage::Published) => Ok(vec![Event::Undone]),
        (Command::Undo, Stage::Absent | Stage::Undone) => Ok(Vec::new()),
    }
}

/// The state after an event.
#[must_use]
pub fn evolve(state: State, event: &Event) -> State {
    match event {
        Event::Created { teacher_id, .. } => State { stage: Stage::Draft, teacher_id: teacher_id.clone() },
        Event::Published => State { stage: Stage::Published, ..state },
        Event::Undone => State { stage: Stage::Undone, ..state },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::course::Draft;

    fn course() -> Box<Course> {
        let draft = Draft { code: "CS-101".into(), title: "Compilers".into(), capacity: 30, ..Draft::default() };
        Box::new(draft.check().unwrap())
    }

    /// A command of somebody: 0 is the teacher, 1 an admin, 2 anybody else, 3 a visitor.
    fn command(kind: u8, who: u8) -> Command<'static> {
        let id = ["t", "a", "u"].get(usize::from(who)).copied();
        match kind {
            0 => Command::Create { teacher_id: "t".into(), course: course() },
            1 => Command::Publish { viewer: Viewer { id, admin: who == 1 } },
            _ => Command::Undo,
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_a_course_goes_forward_only(asked in prop::collection::vec((0_u8..3, 0_u8..4), 0..20)) {
            let (mut state, mut events) = (State::default(), Vec::new());
            for (kind, who) in asked {
                let before = state.clone();
                let decided = decide(&state, command(kind, who));
                if kind == 1 && who > 1 {
                    prop_assert!(decided.is_err(), "neither teacher nor admin");
                }
                for event in decided.unwrap_or_default() {
                    state = evolve(state, &event);
                    events.push(event);
                }
                prop_assert!(state.stage as u8 >= before.stage as u8);
                prop_assert_eq!(state.teacher_id.is_empty(), state.stage == Stage::Absent);
                prop_assert!(before.stage != Stage::Undone || state == before, "what is undone stays so");
                // The same again changes nothing more.
                let again = decide(&state, command(kind, who)).unwrap_or_default();
                prop_assert!(again.is_empty(), "{:?}", again);
            }
            prop_assert_eq!(events.iter().fold(State::default(), evolve), state);
            let made = events.iter().filter(|event| matches!(event, Event::Created { .. })).count();
            prop_assert_eq!(made, usize::from(!events.is_empty()));
        }
    }

    #[test]
    fn refusals_say_why() {
        let draft = evolve(State::default(), &Event::Created { teacher_id: "t".into(), course: course() });
        assert_eq!(decide(&draft, command(0, 0)), Err(Refused::Taken));
        assert_eq!(decide(&draft, command(1, 2)), Err(Refused::NotYours));
        assert_eq!(decide(&State::default(), command(1, 1)), Err(Refused::Unknown));
        assert_eq!(decide(&evolve(draft, &Event::Undone), command(1, 1)), Err(Refused::Unknown));
    }
}
