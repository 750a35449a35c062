//! Accounts for tests, made the way users make them.

use serde_json::{Value, json};

use crate::platform::{ADMIN_EMAIL, ADMIN_PASSWORD, Platform};

/// The password of everybody but the admin.
pub const PASSWORD: &str = "tr0ub4dor and three";

/// Somebody who is logged in.
#[derive(Clone, Debug)]
pub struct Person {
    /// The account's id.
    pub id: String,
    /// Its e-mail.
    pub email: String,
    /// An access token.
    pub token: String,
    /// A refresh token that was not used yet.
    pub refresh_token: String,
}

/// The admin of a platform.
#[must_use]
pub fn admin(platform: &Platform) -> Person {
    log_in(platform, ADMIN_EMAIL, ADMIN_PASSWORD)
}

/// Registers `<name>@example.com`, has the admin make it a `role`, and logs in.
///
/// # Panics
/// If any of that is refused.
#[must_use]
pub fn register(platform: &Platform, name: &str, role: &str) -> Person {
    let email = format!("{name}@example.com");
    let body = json!({"email": email, "password": PASSWORD, "name": name});
    let account = platform.post("/api/auth/register", &body).send().expect(201);
    if role != "student" {
        let path = format!("/api/users/{}", text(&account["id"]));
        let set = platform.request("PATCH", &path).token(&admin(platform).token).json(&json!({"role": role}));
        let _ = set.send().expect(200);
    }
    log_in(platform, &email, PASSWORD)
}

/// Logs in.
///
/// # Panics
/// If that is refused.
#[must_use]
pub fn log_in(platform: &Platform, email: &str, password: &str) -> Person {
    let tokens = platform.post("/api/auth/login", &json!({"email": email, "password": password})).send().expect(200);
    let token = text(&tokens["access_token"]);
    let me = platform.get("/api/users/me").token(&token).send().expect(200);
    Person { id: text(&me["id"]), email: email.to_owned(), token, refresh_token: text(&tokens["refresh_token"]) }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
