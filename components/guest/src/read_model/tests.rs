//! The parameters against a model in Rust, on the engine that the embedded database is of.

use std::collections::BTreeSet;
use std::rc::Rc;

use proptest::prelude::*;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, params_from_iter};

use super::*;

const MODEL: ReadModel = ReadModel {
    table: "people",
    key: "id",
    columns: &[
        Column::new("id", Kind::Text).filtered().sorted(),
        Column::new("name", Kind::Text).filtered().sorted(),
        Column::new("role", Kind::OneOf(&["admin", "student"])).filtered().sorted(),
        Column::new("amount", Kind::Integer).filtered().sorted(),
        Column::new("share", Kind::Number).filtered().sorted(),
        Column::new("active", Kind::Boolean).filtered().sorted(),
        Column::new("nick", Kind::Text).filtered(),
        Column::new("more", Kind::Json).on_demand(),
    ],
    sort: "-amount,name",
    terms: Some("people_terms"),
};

#[derive(Clone, Debug)]
struct Person {
    id: String,
    name: String,
    role: &'static str,
    amount: i64,
    share: f64,
    active: bool,
    nick: Option<String>,
}

fn database(people: &[Person]) -> Connection {
    let database = Connection::open_in_memory().unwrap();
    database
        .execute_batch(
            "PRAGMA case_sensitive_like = ON;
             CREATE TABLE people (id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL,
               amount BIGINT NOT NULL, share DOUBLE PRECISION NOT NULL, active BOOLEAN NOT NULL, nick TEXT, more TEXT);
             CREATE TABLE people_terms (term TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (term, id));",
        )
        .unwrap();
    people.iter().for_each(|person| insert(&database, person));
    database
}

fn insert(database: &Connection, person: &Person) {
    let Person { id, name, role, amount, share, active, nick } = person;
    database
        .execute(
            "INSERT INTO people VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, '{\"a\":[1]}')",
            rusqlite::params![id, name, role, amount, share, active, nick],
        )
        .unwrap();
    for Statement { sql, parameters, .. } in index("people_terms", id, &[name]) {
        database.execute(&numbered(&sql), params_from_iter(parameters.iter().map(bound))).unwrap();
    }
}

/// SQLite counts `$2` as a name.
fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

fn bound(value: &Value) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match value {
        Value::Null => ValueRef::Null,
        Value::Boolean(value) => ValueRef::Integer(i64::from(*value)),
        Value::Int64(number) => ValueRef::Integer(*number),
        Value::Float64(number) => ValueRef::Real(*number),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Blob(bytes) => ValueRef::Blob(bytes),
    })
}

fn run(database: &Connection, query: &Query, scope: Scope) -> Page {
    let Statement { sql, parameters, .. } = statement(&MODEL, query, scope);
    let mut prepared = database.prepare(&numbered(&sql)).unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(prepared.parameter_count(), parameters.len(), "{sql}");
    let names: Rc<[String]> = prepared.column_names().map(str::to_owned).collect();
    let mut answer = prepared.query(params_from_iter(parameters.iter().map(bound))).unwrap();
    let mut rows = Vec::new();
    while let Some(row) = answer.next().unwrap() {
        let value = |at| match row.get_ref(at).unwrap() {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Int64(number),
            ValueRef::Real(number) => Value::Float64(number),
            ValueRef::Text(text) => Value::Text(String::from_utf8(text.to_vec()).unwrap()),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        };
        rows.push(Row::new(Rc::clone(&names), (0..names.len()).map(value).collect()));
    }
    page(&MODEL, query, &rows).unwrap()
}

fn parsed(parameters: &[(&str, &str)]) -> Result<Query, Problem> {
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Query::parse(&MODEL, &parameters)
}

fn ids(page: &Page) -> Vec<String> {
    page.items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn refusal(parameters: &[(&str, &str)]) -> String {
    let problem = parsed(parameters).unwrap_err();
    assert_eq!(problem.status(), 400);
    format!("{problem:?}")
}

type Holds<'a> = &'a dyn Fn(&Person) -> bool;

fn person(id: usize, name: &str, amount: i64) -> Person {
    let (name, id) = (name.to_owned(), format!("p{id:03}"));
    let nick = (amount % 2 == 0).then(|| name.clone());
    let role = if amount > 2 { "admin" } else { "student" };
    Person { id, name, role, amount, share: amount as f64 / 3.0, active: amount % 3 == 0, nick }
}

fn people() -> impl Strategy<Value = Vec<Person>> {
    let one = ("[ab' \"%é\n]{0,4}", 0_i64..5);
    prop::collection::vec(one, 0..30).prop_map(|people| {
        people.into_iter().enumerate().map(|(id, (name, amount))| person(id, &name, amount)).collect()
    })
}

fn sorts() -> impl Strategy<Value = String> {
    let columns = vec!["id", "name", "role", "amount", "share", "active"];
    let some = prop::sample::subsequence(columns, 1..4).prop_shuffle();
    (some, prop::collection::vec(any::<bool>(), 4)).prop_map(|(columns, descending)| {
        let one = |(name, descending): (&str, bool)| format!("{}{name}", if descending { "-" } else { "" });
        columns.into_iter().zip(descending).map(one).collect::<Vec<_>>().join(",")
    })
}

/// The order of two people, as the parameter says it.
fn compare(sort: &str, a: &Person, b: &Person) -> std::cmp::Ordering {
    let mut last_descending = false;
    for part in sort.split(',') {
        let (name, descending) = part.strip_prefix('-').map_or((part, false), |name| (name, true));
        let order = match name {
            "id" => a.id.cmp(&b.id),
            "name" => a.name.cmp(&b.name),
            "role" => a.role.cmp(b.role),
            "amount" => a.amount.cmp(&b.amount),
            "share" => a.share.total_cmp(&b.share),
            _ => a.active.cmp(&b.active),
        };
        last_descending = descending;
        let order = if descending { order.reverse() } else { order };
        if order.is_ne() {
            return order;
        }
    }
    let order = a.id.cmp(&b.id);
    if last_descending { order.reverse() } else { order }
}

proptest! {
    #[test]
    fn pages_by_cursor_are_the_whole_in_order_each_once(people in people(), sort in sorts(), limit in 1_usize..8) {
        let database = database(&people);
        let mut wanted = people.clone();
        wanted.sort_by(|a, b| compare(&sort, a, b));
        let wanted: Vec<String> = wanted.into_iter().map(|person| person.id).collect();
        let (mut seen, mut cursor, limit) = (Vec::new(), None, limit.to_string());
        loop {
            let mut parameters = vec![("sort", sort.as_str()), ("limit", &limit), ("fields", "id")];
            parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = run(&database, &parsed(&parameters).unwrap(), Scope::all());
            prop_assert!(page.items.iter().all(|item| item.len() == 1));
            seen.extend(ids(&page));
            prop_assert!(seen.len() <= wanted.len());
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        prop_assert_eq!(&seen, &wanted);
        let offset = (wanted.len() / 2).to_string();
        let page = run(&database, &parsed(&[("sort", &sort), ("offset", &offset)]).unwrap(), Scope::all());
        prop_assert_eq!(ids(&page), wanted.into_iter().skip(people.len() / 2).take(20).collect::<Vec<_>>());
    }

    #[test]
    fn rows_that_come_in_between_move_nothing(people in people(), more in people(), sort in sorts()) {
        let database = database(&people);
        let first = run(&database, &parsed(&[("sort", &sort), ("limit", "5")]).unwrap(), Scope::all());
        more.iter().enumerate().for_each(|(at, new)| insert(&database, &Person { id: format!("n{at}"), ..new.clone() }));
        let mut seen = ids(&first);
        let mut cursor = first.next_cursor;
        while let Some(next) = cursor {
            let page = run(&database, &parsed(&[("sort", &sort), ("cursor", &next), ("limit", "7")]).unwrap(), Scope::all());
            seen.extend(ids(&page));
            cursor = page.next_cursor;
        }
        let old: Vec<&String> = seen.iter().filter(|id| id.starts_with('p')).collect();
        let once: BTreeSet<&String> = old.iter().copied().collect();
        prop_assert!(once.len() == old.len() && old.len() == people.len(), "{:?}", seen);
    }

    #[test]
    fn filters_select_what_they_say(people in people(), amount in -1_i64..6, name in "[ab' \"%é]{0,3}", active: bool) {
        let database = database(&people);
        let (number, truth) = (amount.to_string(), active.to_string());
        let cases: [(&str, &str, Holds<'_>); 9] = [
            ("amount", &number, &|p| p.amount == amount),
            ("amount.gte", &number, &|p| p.amount >= amount),
            ("amount.lt", &number, &|p| p.amount < amount),
            ("share.gt", &number, &|p| p.share > amount as f64),
            ("name", &name, &|p| p.name == name),
            ("name.lte", &name, &|p| p.name <= name),
            ("nick.ne", &name, &|p| p.nick.as_ref() != Some(&name)),
            ("active", &truth, &|p| p.active == active),
            ("amount.in", "0,3", &|p| [0, 3].contains(&p.amount)),
        ];
        for (parameter, value, holds) in cases {
            let found = run(&database, &parsed(&[(parameter, value), ("limit", "100"), ("sort", "id")]).unwrap(), Scope::all());
            let wanted: Vec<String> = people.iter().filter(|p| holds(p)).map(|p| p.id.clone()).collect();
            prop_assert_eq!(ids(&found), wanted, "{}={}", parameter, value);
        }
    }

    #[test]
    fn words_find_who_has_them_all(names in prop::collection::vec("[abé ]{0,8}", 0..20), q in "[abÉ]{1,3}( [ab]{1,2})?") {
        let people: Vec<Person> = names.iter().enumerate().map(|(at, name)| person(at, name, 1)).collect();
        let page = run(&database(&people), &parsed(&[("q", &q), ("sort", "id")]).unwrap(), Scope::all());
        let words = terms(&q);
        let (last, whole) = words.split_last().unwrap();
        let holds = |name: &str| {
            let own = terms(name);
            whole.iter().all(|word| own.contains(word)) && own.iter().any(|term| term.starts_with(last.as_str()))
        };
        let wanted: Vec<String> = people.iter().filter(|p| holds(&p.name)).map(|p| p.id.clone()).collect();
        prop_assert_eq!(ids(&page), wanted);
    }

    #[test]
    fn nothing_that_is_given_becomes_sql(
        name in "(id|name|amount|q|sort|fields|limit|offset|cursor|role|[a-z;' -]{1,9})(\\.(gte|in|ne|x'))?",
        value in "\\PC{0,20}|[a-z]+' OR 1=1 --|\"; DROP TABLE people",
    ) {
        let people = [person(0, "a", 1), person(1, "b", 2)];
        let Ok(query) = parsed(&[(&name, &value)]) else { return Ok(()) };
        let ours = statement(&MODEL, &parsed(&[]).unwrap(), Scope::all()).sql;
        let scope = || Scope::only("role = $1", vec!["student".into()]);
        let text = statement(&MODEL, &query, scope()).sql;
        let known = |c: char| c.is_ascii_alphanumeric() || "_ ,$=<>()%*".contains(c);
        prop_assert!(text.chars().all(known) && ours.chars().all(known), "{}", text);
        // Only who asks for a role that there is can be told of nobody; nobody is told of an admin.
        let admin = Person { role: "admin", ..person(2, "c", 1) };
        let page = run(&database(&[people.as_slice(), &[admin]].concat()), &query, scope());
        prop_assert!(!ids(&page).contains(&"p002".to_owned()));
    }

    #[test]
    fn rubbish_is_no_cursor(text in "[0-9a-f]{0,40}|\\PC{0,10}") {
        prop_assert!(parsed(&[("cursor", &text)]).is_err());
    }
}

#[test]
fn what_is_wrong_is_named_with_what_may_stand_there() {
    let wrong = [
        (
            ("colour", "red"),
            "is no parameter here: there are q, sort, fields, limit, offset, cursor and the fields id, name, role, amount, share, active, nick",
        ),
        (("more", "{}"), "is no parameter here"),
        (("amount.like", "1"), "amount takes nothing, or one of .ne .lt .lte .gt .gte .in"),
        (("active.lt", "true"), "active takes nothing, or one of .ne\""),
        (("role", "teacher"), "has to be one of admin, student"),
        (("amount", "1.5"), "has to be a whole number"),
        (("share", "NaN"), "has to be a number"),
        (("active", "yes"), "has to be true or false"),
        (("name", "\0"), "has a NUL character"),
        (("q", " ?! "), "has no word: letters or digits"),
        (("sort", "nick"), "is nothing to sort by: there are id, name, role, amount, share, active"),
        (("sort", "name,-name"), "names name twice"),
        (("fields", "id,password"), "is no field: there are id, name, role, amount, share, active, nick, more"),
        (("limit", "101"), "has to be a number from 1 to 100"),
        (("offset", "10001"), "has to be a number from 0 to 10000: further on, follow next_cursor"),
        (("cursor", "00"), "is no cursor of this listing with this sort"),
    ];
    for (parameter, words) in wrong {
        let refusal = refusal(&[parameter]);
        assert!(refusal.contains(&words.replace('"', "\\\"")) || refusal.contains(words), "{parameter:?}: {refusal}");
        assert!(refusal.contains(&format!("field: {:?}", parameter.0)), "{refusal}");
    }
    assert!(refusal(&[("offset", "1"), ("cursor", "00")]).contains("give one of them"));
    assert!(refusal(&[("role", "admin"), ("role", "student")]).contains("is given twice"));
    let none = ReadModel { terms: None, ..MODEL };
    assert!(Query::parse(&none, &[("q".to_owned(), "a".to_owned())]).is_err());
}

#[test]
fn a_cursor_is_of_its_sort_alone() {
    let database = database(&[person(0, "a", 1), person(1, "b", 1)]);
    let page = run(&database, &parsed(&[("sort", "name"), ("limit", "1")]).unwrap(), Scope::all());
    let next = page.next_cursor.unwrap();
    assert!(parsed(&[("sort", "name"), ("cursor", &next)]).is_ok());
    assert!(parsed(&[("sort", "-name"), ("cursor", &next)]).is_err());
    assert!(parsed(&[("cursor", &next)]).is_err());
}

#[test]
fn a_page_shows_each_kind_as_json() {
    let database = database(&[person(0, "Ann", 3)]);
    let shown = run(&database, &parsed(&[]).unwrap(), Scope::all());
    let json = serde_json::to_value(&shown).unwrap();
    let whole = serde_json::json!({"items": [{"id": "p000", "name": "Ann", "role": "admin", "amount": 3, "share": 1.0,
        "active": true, "nick": null}], "next_cursor": null});
    assert_eq!(json, whole);
    let more = run(&database, &parsed(&[("fields", "more")]).unwrap(), Scope::all());
    assert_eq!(serde_json::to_value(&more.items).unwrap(), serde_json::json!([{"more": {"a": [1]}}]));
}

#[test]
fn the_statement_is_plain_sql() {
    let query = parsed(&[("amount.gte", "5"), ("q", "Ann Sm"), ("offset", "40"), ("fields", "name")]).unwrap();
    let Statement { sql, parameters, .. } = statement(&MODEL, &query, Scope::only("role = $1", vec!["student".into()]));
    assert_eq!(
        sql,
        "SELECT name, amount, id FROM people WHERE (role = $1) AND amount >= $2 \
         AND id IN (SELECT id FROM people_terms WHERE term = $3) \
         AND id IN (SELECT id FROM people_terms WHERE term LIKE $4) \
         ORDER BY amount DESC, name, id LIMIT $6 OFFSET $5"
    );
    assert_eq!(parameters, crate::params!["student", 5_i64, "ann", "sm%", 40_u32, 21_u32]);
}
