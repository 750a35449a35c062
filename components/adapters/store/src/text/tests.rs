//! The rules of a statement's text, and what becomes of it.

use super::*;

#[test]
fn parameters_are_counted_and_numbered_wherever_they_stand() {
    for (sql, count, rewritten) in [
        ("SELECT 1", 0, "SELECT 1"),
        ("SELECT $2, $1", 2, "SELECT ?2, ?1"),
        ("select $1 where $1 = $1;", 1, "select ?1 where ?1 = ?1;"),
        (
            "SELECT '$7 ?', \"$8\" -- $9 ::\n , $1 /* ? :: ; */ ;  -- end",
            1,
            "SELECT '$7 ?', \"$8\" -- $9 ::\n , ?1 /* ? :: ; */ ;  -- end",
        ),
        ("SELECT 'it''s $3', \"a\"\"$4\", a$5, $1", 1, "SELECT 'it''s $3', \"a\"\"$4\", a$5, ?1"),
        (
            "WITH x AS (SELECT 1) DELETE FROM t WHERE a IN ($1,$2)",
            2,
            "WITH x AS (SELECT 1) DELETE FROM t WHERE a IN (?1,?2)",
        ),
    ] {
        let checked = check(sql).unwrap();
        assert_eq!((checked.parameters, checked.sql.as_str()), (count, rewritten));
    }
}

#[test]
fn what_only_reads_is_told_from_what_changes() {
    for (sql, reads) in [
        ("SELECT 1", true),
        ("VALUES (1)", true),
        ("WITH a AS (SELECT 1) SELECT replace('a', 'b', 'c') FROM a", true),
        ("WITH RECURSIVE a (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a), b AS (VALUES (1)) SELECT n FROM a", true),
        ("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", false),
        ("WITH a AS (SELECT 1) DELETE FROM t WHERE x IN (SELECT * FROM a)", false),
        ("WITH \"SELECT\" AS (VALUES (1)) UPDATE t SET a = 1", false),
        ("INSERT INTO t SELECT 1", false),
        ("UPDATE t SET a = (SELECT 1)", false),
        ("DELETE FROM t RETURNING a", false),
    ] {
        assert_eq!(check(sql).unwrap().reads, reads, "{sql}");
    }
}

#[test]
fn what_is_not_portable_is_invalid() {
    for sql in [
        "",
        "  -- nothing",
        ";",
        "SELECT 1; SELECT 2",
        "SELECT ?",
        "SELECT ?1",
        "SELECT :name",
        "SELECT @name",
        "SELECT $name",
        "SELECT $1a",
        "SELECT $0",
        "SELECT $01",
        "SELECT $1(x)",
        "SELECT $",
        "SELECT $2",
        "SELECT a::text FROM t",
        "SELECT $1::bigint",
        "SELECT `a` FROM t",
        "SELECT [a] FROM t",
        "SELECT x'00'",
        "SELECT 'open",
        "SELECT /* open",
        "INSERT OR IGNORE INTO t VALUES (1)",
        "UPDATE OR ROLLBACK t SET a = 1",
        "REPLACE INTO t VALUES (1)",
        "(SELECT 1)",
        "SELECT '\0'",
    ] {
        assert!(matches!(check(sql), Err(Error::Invalid(_))), "{sql}: {:?}", check(sql));
    }
}

#[test]
fn what_is_not_for_functions_is_denied() {
    for sql in [
        "ATTACH 'x' AS y",
        "/**/ pragma user_version",
        "BEGIN",
        "commit",
        "VACUUM INTO 'x'",
        "CREATE TABLE t (a TEXT)",
        "SELECT * FROM weft_done",
        "SELECT * FROM \"WEFT_outbox\"",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM pragma_table_info('t')",
        "SELECT load_extension('x')",
        "SELECT * FROM t__rebuild",
        "DELETE FROM \"t__REBUILD\"",
    ] {
        assert!(matches!(check(sql), Err(Error::Denied(_))), "{sql}: {:?}", check(sql));
    }
}

#[test]
fn sizes_are_bounded() {
    assert!(matches!(check("SELECT $1000"), Err(Error::TooLarge(_))));
    assert!(matches!(check("SELECT $99999999999999999999999"), Err(Error::Invalid(_))));
    let long = format!("SELECT '{}'", "x".repeat(limits::SQL_BYTES));
    assert!(matches!(check(&long), Err(Error::TooLarge(_))));
}

#[test]
fn a_migration_is_taken_apart_at_its_ends() {
    let sql = "-- one; two\nCREATE TABLE a (b TEXT DEFAULT ';'); CREATE INDEX c ON a (b)\n;\n
        CREATE TRIGGER d AFTER INSERT ON a BEGIN
            UPDATE a SET b = CASE WHEN b = '' THEN 'x' ELSE b END; DELETE FROM a WHERE b = 'end';
        END; INSERT INTO a VALUES ('last')";
    let found = statements(sql).unwrap();
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(found.first(), Some(&"CREATE TABLE a (b TEXT DEFAULT ';')"));
    assert!(found.get(2).is_some_and(|trigger| trigger.ends_with("END")), "{found:?}");
    assert_eq!(found.last(), Some(&"INSERT INTO a VALUES ('last')"));
    assert_eq!(statements(" -- nothing\n ;; ").unwrap(), [] as [&str; 0]);
    for sql in ["BEGIN", "SELECT 1; PRAGMA x", "CREATE TABLE weft_a (b TEXT)", "ATTACH 'x' AS y", "COMMIT"] {
        assert!(matches!(statements(sql), Err(Error::Denied(_))), "{sql}");
    }
    assert!(matches!(statements("SELECT $1"), Err(Error::Invalid(_))));
}

proptest::proptest! {
    /// Whatever the parts of a statement are, what is not a parameter stays as it is.
    #[test]
    fn only_parameters_are_rewritten(parts in proptest::collection::vec(0_usize..6, 0..12)) {
        let known = ["'$1 it''s'", "\"$2\"", "a$3", "-- $4\n", "/* $5 */", "$1"];
        let given: Vec<&str> = parts.iter().filter_map(|part| known.get(*part).copied()).collect();
        let sql = format!("SELECT 1 {}", given.join(" "));
        let wanted: Vec<&str> = given.iter().map(|part| if *part == "$1" { "?1" } else { part }).collect();
        proptest::prop_assert_eq!(check(&sql).unwrap().sql, format!("SELECT 1 {}", wanted.join(" ")));
    }
}
