//! The saga helper against a journal in memory: order of steps and compensations, replay, and what stops a run.

use std::cell::RefCell;
use std::rc::Rc;

use futures::executor::block_on;
use serde::{Deserialize, Serialize};

use super::fake_journal::with;
use super::{Saga, StepOutcome, resume, run};
use crate::{Failure, Fallible};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Error {
    Refused,
    Unavailable(Failure),
}

impl Fallible for Error {
    fn failure(&self) -> Option<&Failure> {
        if let Self::Unavailable(failure) = self { Some(failure) } else { None }
    }
    fn from_failure(failure: Failure) -> Self {
        Self::Unavailable(failure)
    }
}

/// What steps `a`, `b` and `c` answer, attempt by attempt; the last one again and again.
type Script = Rc<RefCell<Vec<(&'static str, Vec<Result<u32, Error>>)>>>;

fn script(c: Vec<Result<u32, Error>>) -> Script {
    Rc::new(RefCell::new(vec![("a", vec![Ok(1)]), ("b", vec![Ok(2)]), ("c", c)]))
}

fn next(script: &Script, name: &str) -> Result<u32, Error> {
    let mut steps = script.borrow_mut();
    let answers = &mut steps.iter_mut().find(|(step, _)| *step == name).unwrap().1;
    if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
}

/// What the compensations were told.
type Undone = Rc<RefCell<Vec<String>>>;

fn saga(script: &Script, undone: &Undone, undo_b: Result<(), Error>) -> Result<u32, Error> {
    block_on(run("test", "k".into(), 7_u32, body(script.clone(), undone.clone(), undo_b)))
}

fn body(
    script: Script,
    undone: Undone,
    undo_b: Result<(), Error>,
) -> impl AsyncFnOnce(Saga, u32) -> Result<u32, Error> {
    async move |saga: Saga, input: u32| {
        let mut sum = input;
        for name in ["a", "b", "c"] {
            let (undone, undo_b) = (undone.clone(), undo_b.clone());
            sum += saga
                .step(name, |_| std::future::ready(next(&script, name)))
                .undo(move |key, outcome| {
                    let told = match outcome {
                        StepOutcome::Success(value) => format!("{key}={value}"),
                        StepOutcome::Unknown => format!("{key}=?"),
                    };
                    undone.borrow_mut().push(told);
                    std::future::ready(if name == "b" { undo_b.clone() } else { Ok(()) })
                })
                .await?;
        }
        Ok(sum)
    }
}

fn log() -> Vec<String> {
    with(|fake| std::mem::take(&mut fake.log))
}

#[test]
fn steps_run_in_order_once_and_the_answer_is_kept() {
    let (script, undone) = (script(vec![Ok(3)]), Undone::default());
    assert_eq!(saga(&script, &undone, Ok(())), Ok(13));
    assert_eq!(log(), ["do a", "do b", "do c", "finish ok"]);
    assert_eq!(saga(&script, &undone, Ok(())), Ok(13));
    assert!(log().is_empty());
    assert!(undone.borrow().is_empty());
}

#[test]
fn a_definite_error_undoes_the_steps_before_it_backwards_under_their_own_keys() {
    let (script, undone) = (script(vec![Err(Error::Refused)]), Undone::default());
    assert_eq!(saga(&script, &undone, Ok(())), Err(Error::Refused));
    assert_eq!(log(), ["do a", "do b", "do c", "undo b", "undo a", "finish error"]);
    assert_eq!(*undone.borrow(), ["k/b#1=2", "k/a#1=1"]);
}

#[test]
fn a_step_that_may_have_run_is_undone_too() {
    let (script, undone) = (script(vec![Err(Error::Unavailable(Failure::unknown("timeout")))]), Undone::default());
    assert!(matches!(saga(&script, &undone, Ok(())), Err(Error::Unavailable(_))));
    assert_eq!(log(), ["do a", "do b", "do c", "do c", "do c", "undo c", "undo b", "undo a", "finish error"]);
    assert_eq!(*undone.borrow(), ["k/c#1=?", "k/b#1=2", "k/a#1=1"]);
}

#[test]
fn an_error_after_an_attempt_that_may_have_run_is_not_definite() {
    let timeout = Err(Error::Unavailable(Failure::unknown("timeout")));
    let (script, undone) = (script(vec![timeout, Err(Error::Refused)]), Undone::default());
    assert_eq!(saga(&script, &undone, Ok(())), Err(Error::Refused));
    assert_eq!(undone.borrow().first().unwrap(), "k/c#1=?");
}

#[test]
fn a_step_that_was_never_started_is_tried_again_and_not_undone() {
    let busy = Err(Error::Unavailable(Failure::not_attempted("busy")));
    let (script, undone) = (script(vec![busy.clone(), busy.clone(), Ok(3)]), Undone::default());
    assert_eq!(saga(&script, &undone, Ok(())), Ok(13));
    with(|fake| *fake = Default::default());
    let (script, undone) = (self::script(vec![busy]), Undone::default());
    assert!(saga(&script, &undone, Ok(())).is_err());
    assert_eq!(*undone.borrow(), ["k/b#1=2", "k/a#1=1"]);
}

#[test]
fn a_compensation_that_fails_does_not_stop_the_others() {
    let (script, undone) = (script(vec![Err(Error::Refused)]), Undone::default());
    assert_eq!(saga(&script, &undone, Err(Error::Unavailable(Failure::unknown("down")))), Err(Error::Refused));
    let tries = undone.borrow().iter().filter(|told| told.starts_with("k/b")).count();
    assert_eq!(tries, 60);
    assert_eq!(undone.borrow().last().unwrap(), "k/a#1=1");
    assert_eq!(log().last().unwrap(), "finish error");
}

#[test]
fn a_run_that_loses_its_lease_stops_and_the_next_goes_on() {
    // Cut at every call to the journal: whatever the point, the next run ends as an uncut one does.
    for cut in 0.. {
        with(|fake| *fake = Default::default());
        let (script, undone) = (script(vec![Err(Error::Refused)]), Undone::default());
        with(|fake| fake.lease_lost_after = Some(cut));
        let first = saga(&script, &undone, Ok(()));
        if with(|fake| fake.finished.is_some()) {
            assert_eq!(first, Err(Error::Refused));
            assert_eq!(cut, 11, "the number of calls of a whole run");
            return;
        }
        assert!(matches!(first, Err(Error::Unavailable(_))), "cut at {cut}: {first:?}");
        assert!(!log().iter().any(|entry| entry.starts_with("finish")));
        with(|fake| fake.lease_lost_after = None);
        let input = with(|fake| fake.input.clone());
        assert_eq!(block_on(resume("test", "k".into(), &input, body(script, undone.clone(), Ok(())))), Ok(()));
        assert_eq!(log().last().unwrap(), "finish error");
        assert_eq!(undone.borrow().last().unwrap(), "k/a#1=1");
        assert_eq!(block_on(run("test", "k".into(), 7_u32, async |_, _: u32| Ok(0))), Err::<u32, _>(Error::Refused));
    }
}

#[test]
fn time_and_ids_between_steps_are_those_of_the_journal() {
    let made = Rc::new(RefCell::new(Vec::new()));
    let body = || {
        let made = Rc::clone(&made);
        async move |saga: Saga, _: ()| {
            made.borrow_mut().push((saga.now_ms(), saga.uuid(), saga.uuid()));
            saga.step("a", |_| std::future::ready(Ok::<_, Failure>(1))).await?;
            made.borrow_mut().push((saga.now_ms(), saga.uuid(), saga.uuid()));
            Err::<u32, _>(Failure::unknown("the run ends here"))
        }
    };
    with(|fake| fake.lease_lost_after = Some(2));
    for _ in 0..2 {
        assert!(block_on(run("test", "k".into(), (), body())).is_err());
        with(|fake| fake.lease_lost_after = Some(1));
    }
    let made = made.borrow();
    let [first, second, first_again, second_again] = &made[..] else { panic!("{made:?}") };
    assert_eq!((first, second), (first_again, second_again));
    assert_eq!(second.0, first.0 + 1000);
    let ids = [&first.1, &first.2, &second.1, &second.2];
    assert!(ids.iter().all(|id| crate::ids::is_uuid(id) && id.as_bytes()[14] == b'7'), "{ids:?}");
    assert_eq!(std::collections::BTreeSet::from(ids).len(), 4);
    // They are in the order of their times.
    assert!(first.1 < second.1);
}
