//! The queue against a model: whatever handlers answer and in whatever order they end, keys stay in order, bounds hold
//! and every item is settled.

use proptest::prelude::*;

use weft_core::{Failure, Fault};

use super::*;

const POLICY: Policy = Policy { max_attempts: 3, base_ms: 1_000, cap_ms: 30_000, ttl_ms: None, keyed: true };

fn event(key: Option<&str>) -> Event {
    let data = bytes::Bytes::from_static(b"{}");
    Event { time_ms: 0, ordering_key: key.map(str::to_owned), data, ..Event::sample() }
}

fn retry() -> Result<(), DeliveryError> {
    Err(DeliveryError::Retry("later".to_owned()))
}

fn queue(events: &[(u64, Option<&str>)]) -> Queue {
    let mut queue = Queue::new(POLICY, 1_000);
    for (position, key) in events {
        assert!(queue.push(Item::Event(*position), event(*key), Attempts::default()));
    }
    queue
}

fn end(queue: &mut Queue, item: Item, result: Result<(), DeliveryError>, now_ms: u64) -> Option<Settled> {
    queue.end(item, Ending::Answered(result), now_ms)
}

fn start_all(queue: &mut Queue, now_ms: u64) -> Vec<Item> {
    std::iter::from_fn(|| queue.start(now_ms)).map(|ready| ready.item).collect()
}

#[test]
fn a_key_goes_one_by_one_and_holds_nobody_else_up() {
    let (one, two, other, none) = (Item::Event(1), Item::Event(2), Item::Event(3), Item::Event(4));
    let mut queue = queue(&[(1, Some("a")), (2, Some("a")), (3, Some("b")), (4, None)]);
    assert_eq!(start_all(&mut queue, 0), [one, other, none]);
    let Some(Settled::Again(attempts)) = end(&mut queue, one, retry(), 0) else { panic!("tried again") };
    assert!((500..=1_000).contains(&attempts.due_ms));
    assert_eq!(start_all(&mut queue, attempts.due_ms - 1), [], "its key waits with it");
    assert_eq!(start_all(&mut queue, attempts.due_ms), [one]);
    end(&mut queue, one, Ok(()), attempts.due_ms);
    assert_eq!(start_all(&mut queue, attempts.due_ms), [two]);
}

#[test]
fn a_poison_event_is_given_up_and_the_next_follows() {
    let mut queue = queue(&[(1, Some("a")), (2, Some("a"))]);
    let mut now = 0;
    for attempt in 1..=3 {
        let ready = queue.start(now).unwrap();
        assert_eq!((ready.item, ready.attempt), (Item::Event(1), attempt));
        match end(&mut queue, ready.item, retry(), now).unwrap() {
            Settled::Again(attempts) => now = attempts.due_ms,
            Settled::Dead { attempts, error } => {
                assert_eq!((attempts, attempt), (3, 3));
                assert!(error.contains("later"));
                assert_eq!(start_all(&mut queue, now), [], "not before it is written down");
                queue.release(Item::Event(1));
            }
            Settled::Delivered => panic!("not delivered"),
        }
    }
    assert_eq!(start_all(&mut queue, now), [Item::Event(2)]);
}

#[test]
fn a_rejection_is_final_and_a_full_house_does_not_count() {
    let mut queue = queue(&[(1, None), (2, None)]);
    start_all(&mut queue, 0);
    let reject = Err(DeliveryError::Reject("bad".to_owned()));
    assert!(matches!(end(&mut queue, Item::Event(1), reject, 0), Some(Settled::Dead { attempts: 1, .. })));
    let full = Failure::not_attempted(Fault::Host, Reason::Overloaded, "full").retry_after_ms(5_000);
    let mut now = 0;
    for _ in 0..10 {
        let ended = end(&mut queue, Item::Event(2), Err(DeliveryError::Failed(full.clone())), now);
        let Some(Settled::Again(attempts)) = ended else { panic!("tried again") };
        assert_eq!(attempts.ended, 0);
        assert!(attempts.due_ms >= now + 5_000, "as long as was asked for");
        now = attempts.due_ms;
        assert_eq!(queue.start(now).unwrap().attempt, 1);
    }
    let trapped = Failure::unknown(Fault::Guest, Reason::Trapped, "trap");
    let ended = end(&mut queue, Item::Event(2), Err(DeliveryError::Failed(trapped)), now);
    assert!(matches!(ended, Some(Settled::Again(Attempts { ended: 1, .. }))), "a trap does count");
}

#[test]
fn pauses_double_up_to_the_cap() {
    for (tried, full) in [(1, 1_000), (2, 2_000), (3, 4_000), (6, 30_000), (70, 30_000)] {
        let delays: Vec<u64> = (0..200).map(|n| delay_ms(&POLICY, Item::Event(n), tried)).collect();
        assert!(delays.iter().all(|delay| (full / 2..=full).contains(delay)), "{tried}: {delays:?}");
        assert!(delays.iter().max() > delays.iter().min(), "spread out");
    }
}

#[test]
fn bodies_past_the_bound_are_left_in_the_log() {
    let mut queue = Queue::new(POLICY, 4);
    for position in 0..3 {
        queue.push(Item::Event(position), event(None), Attempts::default());
    }
    let bodies: Vec<bool> = std::iter::from_fn(|| queue.start(0)).map(|ready| ready.event.is_some()).collect();
    assert_eq!(bodies, [true, true, false]);
    end(&mut queue, Item::Event(0), Ok(()), 0);
    assert_eq!(queue.cached_bytes, 2);
    assert!(!queue.push(Item::Event(2), event(None), Attempts::default()), "taken in hand once");
}

#[test]
fn a_higher_priority_goes_first_and_without_order_keys_are_nothing() {
    let mut queue = Queue::new(Policy { keyed: false, ..POLICY }, 1_000);
    for (position, priority) in [(1, 4), (2, 9), (3, 0), (4, 9)] {
        let mut event = event(Some("same"));
        event.handling.priority = priority;
        queue.push(Item::Event(position), event, Attempts::default());
    }
    assert_eq!(start_all(&mut queue, 0), [2, 4, 1, 3].map(Item::Event));
}

#[test]
fn an_event_whose_time_has_passed_is_a_dead_letter_without_an_attempt() {
    let mut queue = Queue::new(Policy { ttl_ms: Some(1_000), ..POLICY }, 1_000);
    let own = |position, ttl_ms| {
        let mut event = event(None);
        event.handling.ttl_ms = ttl_ms;
        (Item::Event(position), event)
    };
    for (item, event) in [own(1, None), own(2, Some(100)), own(3, Some(5_000))] {
        queue.push(item, event, Attempts::default());
    }
    let mut doomed = |now_ms| {
        let ready = queue.start(now_ms).unwrap();
        let doom = ready.doom;
        if let Some(doom) = doom {
            let settled = queue.end(ready.item, Ending::Doomed(doom), now_ms);
            assert!(matches!(settled, Some(Settled::Dead { attempts: 0, .. })));
        }
        doom
    };
    assert_eq!((doomed(999), doomed(100), doomed(1_000)), (None, Some(Doom::Expired), Some(Doom::Expired)));
    queue.push(Item::Letter(1), event(None), Attempts::default());
    assert_eq!(queue.start(u64::MAX).unwrap().doom, None, "a letter that is replayed may be old");
}

#[test]
fn a_handler_says_when_it_wants_an_event_again() {
    let mut queue = queue(&[(1, None)]);
    start_all(&mut queue, 0);
    let later = Err(DeliveryError::RetryAfter { message: "busy".to_owned(), delay_ms: 77 });
    let ended = end(&mut queue, Item::Event(1), later, 1_000);
    assert_eq!(ended, Some(Settled::Again(Attempts { ended: 1, due_ms: 1_077 })));
}

#[test]
fn the_oldest_goes_when_there_is_no_room_and_a_held_key_is_taken_out() {
    let mut queue = queue(&[(1, Some("a")), (2, Some("a")), (3, Some("a")), (4, None)]);
    assert_eq!(queue.start(0).unwrap().item, Item::Event(1));
    let ready = queue.start_overflow().unwrap();
    assert_eq!(
        (ready.item, ready.doom),
        (Item::Event(2), Some(Doom::Overflow)),
        "1 runs, so 2 is the oldest that waits"
    );
    queue.end(ready.item, Ending::Doomed(Doom::Overflow), 0);
    queue.release(ready.item);
    assert!(queue.push(Item::Event(5), event(Some("a")), Attempts::default()));
    let reject = Err(DeliveryError::Reject("bad".to_owned()));
    assert!(matches!(end(&mut queue, Item::Event(1), reject, 0), Some(Settled::Dead { .. })));
    let taken: Vec<u64> = queue.take_key("a", Item::Event(1)).into_iter().map(|(position, _)| position).collect();
    assert_eq!(taken, [3, 5], "but for the dead one, which stays until it is written down");
    assert_eq!(queue.len(), 2);
    queue.release(Item::Event(1));
    assert_eq!(start_all(&mut queue, 0), [Item::Event(4)]);
    assert!(queue.keys.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Push(Option<u8>),
    Start,
    /// Ends one of the running items, chosen by the number, with this answer.
    End(usize, Answer),
    Wait(u64),
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Ok,
    Retry,
    Reject,
}

fn step() -> impl Strategy<Value = Step> {
    let answer = prop_oneof![Just(Answer::Ok), Just(Answer::Retry), Just(Answer::Reject)];
    prop_oneof![
        proptest::option::of(0..3_u8).prop_map(Step::Push),
        Just(Step::Start),
        (0..8_usize, answer).prop_map(|(which, answer)| Step::End(which, answer)),
        (0..3_000_u64).prop_map(Step::Wait),
    ]
}

/// What a queue has to keep, in the simplest form: a list in order.
#[derive(Default)]
struct Model {
    unsettled: Vec<(Item, Option<String>)>,
    running: Vec<Item>,
    attempts: HashMap<Item, u32>,
    due_ms: HashMap<Item, u64>,
}

impl Model {
    fn may_start(&self, item: Item, now_ms: u64) -> bool {
        let key = &self.unsettled.iter().find(|(other, _)| *other == item).unwrap().1;
        let first = key.is_none() || self.unsettled.iter().find(|(_, other)| other == key).unwrap().0 == item;
        first && !self.running.contains(&item) && self.due_ms.get(&item).is_none_or(|due| *due <= now_ms)
    }

    fn check_start(&mut self, ready: Option<Ready>, now_ms: u64) {
        let may: Vec<Item> =
            self.unsettled.iter().map(|(item, _)| *item).filter(|item| self.may_start(*item, now_ms)).collect();
        match ready {
            None => assert!(may.is_empty(), "{may:?} should start"),
            Some(ready) => {
                assert_eq!(Some(&ready.item), may.first(), "the oldest that may start");
                assert_eq!(ready.attempt, self.attempts.get(&ready.item).copied().unwrap_or_default() + 1);
                self.running.push(ready.item);
            }
        }
    }

    fn check_end(&mut self, item: Item, answer: Answer, settled: Settled) {
        self.running.retain(|other| *other != item);
        let attempts = self.attempts.entry(item).or_default();
        *attempts += 1;
        match (answer, settled) {
            (Answer::Retry, Settled::Again(again)) => {
                assert!(again.ended == *attempts && *attempts < POLICY.max_attempts);
                self.due_ms.insert(item, again.due_ms);
                return;
            }
            (Answer::Ok, Settled::Delivered) => {}
            (Answer::Reject, Settled::Dead { .. }) => {}
            (Answer::Retry, Settled::Dead { attempts: given, .. }) => {
                assert_eq!((given, *attempts), (POLICY.max_attempts, POLICY.max_attempts));
            }
            other => panic!("{other:?}"),
        }
        self.unsettled.retain(|(other, _)| *other != item);
    }
}

fn answer_of(answer: Answer) -> Result<(), DeliveryError> {
    match answer {
        Answer::Ok => Ok(()),
        Answer::Retry => retry(),
        Answer::Reject => Err(DeliveryError::Reject("bad".to_owned())),
    }
}

proptest! {
    #[test]
    fn keeps_to_the_model(steps in proptest::collection::vec(step(), 1..200)) {
        let mut queue = Queue::new(POLICY, 64);
        let mut model = Model::default();
        let (mut now_ms, mut position) = (0, 0);
        for step in steps {
            match step {
                Step::Push(key) => {
                    let key = key.map(|key| key.to_string());
                    queue.push(Item::Event(position), event(key.as_deref()), Attempts::default());
                    model.unsettled.push((Item::Event(position), key));
                    position += 1;
                }
                Step::Start => model.check_start(queue.start(now_ms), now_ms),
                Step::End(which, answer) if !model.running.is_empty() => {
                    let item = model.running[which % model.running.len()];
                    let settled = end(&mut queue, item, answer_of(answer), now_ms).unwrap();
                    if matches!(settled, Settled::Dead { .. }) {
                        queue.release(item);
                    }
                    model.check_end(item, answer, settled);
                }
                Step::End(..) => assert!(end(&mut queue, Item::Event(0), Ok(()), now_ms).is_none(), "nothing runs"),
                Step::Wait(ms) => now_ms += ms,
            }
            prop_assert_eq!(queue.len(), model.unsettled.len());
            prop_assert_eq!(queue.running(), model.running.len());
        }
        // From anywhere, everything comes to an end, and nothing is left behind.
        loop {
            while let Some(ready) = queue.start(now_ms) {
                model.check_start(Some(ready), now_ms);
            }
            if let Some(item) = model.running.first().copied() {
                let settled = end(&mut queue, item, Ok(()), now_ms).unwrap();
                model.check_end(item, Answer::Ok, settled);
            } else if let Some(due_ms) = queue.next_due_ms() {
                now_ms = due_ms;
            } else {
                break;
            }
        }
        prop_assert!(model.unsettled.is_empty() && queue.len() == 0 && queue.keys.is_empty() && queue.cached_bytes == 0);
    }
}

#[test]
fn what_was_given_up_is_not_given_up_again_before_it_is_written_down() {
    let mut queue = queue(&[(1, Some("a")), (2, Some("a")), (3, None)]);
    for expected in [1, 2, 3] {
        let ready = queue.start_overflow().unwrap();
        assert_eq!(ready.item, Item::Event(expected));
        queue.end(ready.item, Ending::Doomed(Doom::Overflow), 0);
    }
    assert!(queue.start_overflow().is_none());
    assert!(queue.take_key("a", Item::Event(2)).is_empty());
}

#[test]
fn an_event_whose_turn_it_is_not_waits_for_it() {
    let mut queue = queue(&[(1, Some("a")), (2, Some("a"))]);
    assert_eq!(queue.start(0).unwrap().item, Item::Event(1));
    assert_eq!(queue.start_overflow().unwrap().item, Item::Event(2));
    // It could not be read, so it is not given up after all.
    let failure = Failure::not_attempted(Fault::Host, Reason::Overloaded, "unreadable");
    let ended = end(&mut queue, Item::Event(2), Err(DeliveryError::Failed(failure)), 0);
    assert!(matches!(ended, Some(Settled::Again(_))));
    assert!(queue.start(u64::MAX).is_none(), "1 still runs");
    end(&mut queue, Item::Event(1), Ok(()), 0);
    assert_eq!(queue.start(u64::MAX).unwrap().item, Item::Event(2));
}
