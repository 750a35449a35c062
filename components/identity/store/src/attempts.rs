//! Failed logins as the database counts them, by e-mail and address: the statements of `identity_domain::lockout`. What
//! an attempt came to is decided by its commit. Of many at once, no more than the permitted number are told that they
//! failed, and none succeeds after them.

use identity_domain::lockout;
use weft_guest::http::Problem;
use weft_guest::params;
use weft_guest::sql::{Statement, query_first, sql};

use crate::now_ms;

/// One attempt to log in.
pub struct Attempt {
    /// The account's e-mail, as it is stored.
    pub email: String,
    address: String,
    now_ms: i64,
}

impl Attempt {
    /// An attempt that is made now, from that address.
    pub fn new(email: String, address: &str) -> Self {
        Self { email, address: address.to_owned(), now_ms: now_ms() }
    }

    /// 429 with the time to wait, if too many attempts have failed.
    pub async fn locked(&self) -> Result<Option<Problem>, Problem> {
        let text = "SELECT first_ms FROM identity_login_failures WHERE email = $1 AND address = $2 AND first_ms > $3";
        let row = query_first(text, params![&self.email, &self.address, self.window_start_ms()]).await?;
        let Some(row) = row else { return Ok(None) };
        let seconds = lockout::retry_after_s(row.int("first_ms")?, self.now_ms);
        Ok(Some(too_many().detail(format!("Try again in {seconds} s.")).header("retry-after", seconds.to_string())))
    }

    /// What a commit refused: where that is [`too_many`], with the time to wait.
    pub async fn refused(&self, problem: Problem) -> Problem {
        match self.locked().await {
            Ok(Some(locked)) if problem.status() == too_many().status() => locked,
            _ => problem,
        }
    }

    /// Counts a failure; changes no row if too many have failed already.
    pub fn count_failure(&self) -> Statement {
        let count = sql(
            "INSERT INTO identity_login_failures AS f (email, address, first_ms, second_ms, third_ms, fourth_ms, fifth_ms) \
             VALUES ($1, $2, 0, 0, 0, 0, $3) ON CONFLICT (email, address) DO UPDATE SET first_ms = f.second_ms, \
             second_ms = f.third_ms, third_ms = f.fourth_ms, fourth_ms = f.fifth_ms, fifth_ms = $3 WHERE f.first_ms <= $4",
            params![&self.email, &self.address, self.now_ms, self.window_start_ms()],
        );
        count.expect_rows(1)
    }

    /// Forgets failures of anybody that no longer count.
    pub fn forget_old(&self) -> Statement {
        sql("DELETE FROM identity_login_failures WHERE fifth_ms <= $1", params![self.window_start_ms()])
    }

    /// Begins the family of a login; changes no row if too many attempts have failed before it.
    pub fn begin_family(&self, family: &str, account: &str, expires_at_ms: i64) -> Statement {
        let begin = sql(
            "INSERT INTO identity_refresh_families (id, account_id, expires_at_ms) \
             SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS BIGINT) WHERE NOT EXISTS (SELECT 1 \
             FROM identity_login_failures WHERE email = $4 AND address = $5 AND first_ms > $6)",
            params![family, account, expires_at_ms, &self.email, &self.address, self.window_start_ms()],
        );
        begin.expect_rows(1)
    }

    /// Forgets the failures before a success.
    pub fn clear(&self) -> Statement {
        let clear = "DELETE FROM identity_login_failures WHERE email = $1 AND address = $2";
        sql(clear, params![&self.email, &self.address])
    }

    fn window_start_ms(&self) -> i64 {
        self.now_ms - lockout::WINDOW_MS
    }
}

/// 429, without the time to wait.
pub fn too_many() -> Problem {
    Problem::new(429, "too-many-attempts", "Too many failed logins")
}
