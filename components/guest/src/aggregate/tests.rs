//! Aggregates on a store in memory.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Decision, Loaded, command, load};
use crate::Failure;
use crate::events::fake_store::{self, with};
use crate::events::{ExpectedVersion, NewEvent, StreamAppend};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
enum Event {
    #[serde(rename = "ledger.deposited")]
    Deposited { amount: u64 },
    #[serde(rename = "ledger.withdrawn")]
    Withdrawn { amount: u64 },
    #[serde(rename = "ledger.closed")]
    Closed,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Account {
    balance: u64,
    closed: bool,
}

impl Aggregate for Account {
    type Event = Event;
    const CATEGORY: &'static str = "account";
    const SNAPSHOT_EVERY: u64 = 3;

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Deposited { amount } => self.balance += amount,
            Event::Withdrawn { amount } => self.balance -= amount,
            Event::Closed => self.closed = true,
        }
    }
}

#[derive(Debug, PartialEq)]
enum Error {
    TooLittle(u64),
    Unavailable(Failure),
}

crate::fallible!(Error);

const OWNER: &str = "test#withdraw";

fn run<T>(future: impl Future<Output = T>) -> T {
    futures::executor::block_on(future)
}

fn withdraw(key: &str, amount: u64) -> Result<u64, Error> {
    run(command(OWNER, key, "1", &amount, |account: &Account| {
        let left = account.balance.checked_sub(amount).ok_or(Error::TooLittle(account.balance))?;
        Ok(Decision::answer(left).event(Event::Withdrawn { amount }))
    }))
}

fn deposits(amounts: &[u64]) -> StreamAppend {
    let events = amounts.iter().map(|amount| NewEvent::typed(&Event::Deposited { amount: *amount }).unwrap()).collect();
    StreamAppend { stream: "account-1".to_string(), expected: ExpectedVersion::Any, events }
}

fn given(amounts: &[u64]) {
    let key = crate::sql::OperationKey { owner: "given".to_string(), key: amounts.len().to_string() };
    run(fake_store::append(key, String::new(), vec![deposits(amounts)], vec![], vec![], vec![])).unwrap();
    with(|fake| fake.log.clear());
}

fn account() -> Loaded<Account> {
    run(load::<Account>("1")).unwrap()
}

#[test]
fn a_command_is_handled_once() {
    given(&[10]);
    assert_eq!(withdraw("k", 4), Ok(6));
    assert_eq!(withdraw("k", 4), Ok(6));
    assert_eq!((account().state.balance, account().version), (6, 2));
    let Err(Error::Unavailable(failure)) = withdraw("k", 5) else { panic!("the key belongs to another input") };
    assert!(failure.is_key_reused());
    with(|fake| assert_eq!(fake.events[1].causation_id.as_deref(), Some("k")));
}

#[test]
fn who_comes_second_decides_again() {
    given(&[10]);
    with(|fake| fake.rivals = vec![deposits(&[5, 6]), deposits(&[1])]);
    assert_eq!(withdraw("k", 12), Err(Error::TooLittle(10)), "the rival has not come yet");
    with(|fake| fake.log.clear());
    assert_eq!(withdraw("k2", 10), Ok(12));
    with(|fake| {
        let asked =
            ["read account-1 from 1", "append", "read account-1 from 2", "append", "read account-1 from 3", "append"];
        assert_eq!(fake.log[..6], asked, "what is known is not read again");
    });
    assert_eq!(account().state.balance, 12);
}

#[test]
fn it_gives_up_in_the_end() {
    given(&[10]);
    with(|fake| fake.rivals = (0..100).map(|_| deposits(&[1])).collect());
    let Err(Error::Unavailable(failure)) = withdraw("k", 1) else { panic!("there is always a rival") };
    assert!(failure.message.contains("account-1") && !failure.may_have_run(), "{failure:?}");
    with(|fake| assert_eq!(fake.rivals.len(), 92));
}

#[test]
fn a_snapshot_saves_reading() {
    given(&[10, 10, 10]);
    withdraw("a", 1).unwrap();
    with(|fake| assert_eq!(fake.snapshots["account-1"].version, 3));
    with(|fake| fake.log.clear());
    withdraw("b", 1).unwrap();
    with(|fake| assert_eq!(fake.log, ["read account-1 from 4", "append"]));
    assert_eq!((account().state.balance, account().version), (28, 5));
    // One of another form, or with other contents, is passed over.
    with(|fake| fake.snapshots.get_mut("account-1").unwrap().form = 7);
    assert_eq!(account().state.balance, 28);
    with(|fake| fake.snapshots.get_mut("account-1").unwrap().form = Account::FORM);
    with(|fake| fake.snapshots.get_mut("account-1").unwrap().data = b"{}".to_vec());
    assert_eq!(account().state.balance, 28);
}

#[test]
fn long_streams_come_in_pages() {
    given(&[1; 25]);
    with(|fake| fake.page = Some(10));
    let account = account();
    assert_eq!((account.state.balance, account.version), (25, 25));
    with(|fake| assert_eq!(fake.log, ["read account-1 from 1", "read account-1 from 11", "read account-1 from 21"]));
}

#[test]
fn events_are_typed_by_their_variants() {
    let closed = NewEvent::typed(&Event::Closed).unwrap();
    assert_eq!((closed.type_.as_str(), closed.data.as_slice()), ("ledger.closed", b"null".as_slice()));
    let event = NewEvent::typed(&Event::Deposited { amount: 7 }).unwrap();
    assert_eq!((event.type_.as_str(), event.data.as_slice()), ("ledger.deposited", b"{\"amount\":7}".as_slice()));
    assert!(NewEvent::typed(&7).is_err());
    given(&[10]);
    with(|fake| fake.events[0].type_ = "ledger.unheard".to_string());
    let error = crate::sql::describe(&run(load::<Account>("1")).unwrap_err());
    assert!(error.contains("event 1 of account-1 (ledger.unheard)"), "{error}");
}

#[test]
fn a_decision_without_events_records_its_answer() {
    given(&[10]);
    let ask =
        || run(command(OWNER, "ask", "1", &(), |account: &Account| Ok::<_, Error>(Decision::answer(account.balance))));
    assert_eq!(ask(), Ok(10));
    given(&[1, 1]);
    assert_eq!(ask(), Ok(10));
}
