//! Which passwords are strong enough, and how they are kept: Argon2id with m = 19 MiB, t = 2, p = 1.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use sha2::{Digest, Sha256};

use crate::Invalid;

/// Characters a password needs at least.
pub const MIN_CHARS: usize = 8;
/// Bytes a password may have at most, so that nobody has us hash a book.
pub const MAX_BYTES: usize = 128;
/// Memory of one hash.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What is verified when there is no such account, or one without a password: the same work, always refused.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The passwords that are tried first, in lower case. Those shorter than [`MIN_CHARS`] need no entry.
const COMMON: [&str; 48] = [
    "11111111",
    "12341234",
    "12345678",
    "123456789",
    "1234567890",
    "123123123",
    "147258369",
    "1q2w3e4r",
    "1q2w3e4r5t",
    "1qaz2wsx",
    "87654321",
    "987654321",
    "9876543210",
    "abc12345",
    "abcd1234",
    "abcdefgh",
    "administrator",
    "admin123",
    "admin1234",
    "asdfasdf",
    "asdfghjkl",
    "baseball",
    "changeme",
    "computer",
    "dragon123",
    "football",
    "iloveyou",
    "letmein1",
    "letmein123",
    "liverpool",
    "michelle",
    "password",
    "password1",
    "password12",
    "password123",
    "password1234",
    "passw0rd",
    "p@ssw0rd",
    "p@ssword",
    "princess",
    "qwerty12",
    "qwerty123",
    "qwertyui",
    "qwertyuiop",
    "starwars",
    "sunshine",
    "superman",
    "welcome1",
];

/// Whether the password may protect the account with this e-mail. `field` is what the caller knows the password by.
///
/// # Errors
/// What makes it weak.
pub fn check(field: &'static str, password: &str, email: &str) -> Result<(), Invalid> {
    let refuse = |reason: &str| Err(Invalid::new(field, reason));
    if password.chars().count() < MIN_CHARS {
        return refuse("is shorter than 8 characters");
    }
    if password.len() > MAX_BYTES {
        return refuse("is longer than 128 bytes");
    }
    let lower = password.to_lowercase();
    if COMMON.contains(&lower.as_str()) {
        return refuse("is among the passwords that are tried first");
    }
    let mut characters: Vec<char> = lower.chars().collect();
    characters.sort_unstable();
    characters.dedup();
    if characters.len() < 5 {
        return refuse("has fewer than 5 different characters");
    }
    let local = email.split('@').next().unwrap_or_default();
    if lower == email || lower == local {
        return refuse("is the e-mail address");
    }
    Ok(())
}

fn hasher() -> Result<Argon2<'static>, argon2::Error> {
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(MEMORY_KIB, PASSES, LANES, None)?))
}

/// The password's hash as a PHC string. `salt` has to be different for each password.
///
/// # Errors
/// None for a password that [`check`] let pass.
pub fn hash(password: &str, salt: &[u8; 16]) -> Result<String, Invalid> {
    let refuse = |error: &dyn std::fmt::Display| Invalid::new("password", error.to_string());
    let hasher = hasher().map_err(|error| refuse(&error))?;
    let hash: PasswordHash =
        hasher.hash_password_with_salt(password.as_bytes(), salt).map_err(|error| refuse(&error))?;
    Ok(hash.to_string())
}

/// The salt of a request that may be repeated under its key and has to come to the same hash each time. Keys differ
/// from request to request, which is all that a salt needs.
#[must_use]
pub fn derived_salt(key: &str) -> [u8; 16] {
    let digest = Sha256::new().chain_update("password salt\0").chain_update(key).finalize();
    let mut salt = [0; 16];
    salt.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    salt
}

/// Whether `password` is the one that `stored` was made from. Without a stored hash it works as long and answers no.
#[must_use]
pub fn verify(password: &str, stored: Option<&str>) -> bool {
    // Nobody's password is longer; a longer one is cut so that an unknown account takes as long as a known one.
    let known = stored.is_some() && password.len() <= MAX_BYTES;
    let hash = if known { stored.unwrap_or(NOBODY) } else { NOBODY };
    let password = password.as_bytes().get(..MAX_BYTES).unwrap_or(password.as_bytes());
    let verified = hasher().is_ok_and(|hasher| hasher.verify_password(password, hash).is_ok());
    known && verified
}

/// Whether the text is a hash that [`hash`] could have made.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && PasswordHash::new(text).is_ok_and(|hash| hash.hash.is_some())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EMAIL: &str = "ada.lovelace@example.com";

    #[test]
    fn weak_passwords_are_refused_and_say_why() {
        for (password, reason) in [
            ("short", "shorter"),
            ("Password123", "tried first"),
            ("aaaabbbb", "different"),
            ("ada.lovelace", "e-mail"),
            ("Ada.Lovelace@example.com", "e-mail"),
        ] {
            let refused = check("password", password, EMAIL).unwrap_err();
            assert!(refused.field == "password" && refused.reason.contains(reason), "{password}: {refused}");
        }
        assert!(check("password", &"äbcdef".repeat(30), EMAIL).is_err());
        assert_eq!(check("password", "correct horse battery staple", EMAIL), Ok(()));
    }

    #[test]
    fn the_list_holds_only_what_the_other_rules_let_pass() {
        for password in COMMON {
            assert!(password.len() >= MIN_CHARS && password == password.to_lowercase(), "{password}");
        }
    }

    #[test]
    fn a_hash_verifies_its_own_password_alone() {
        let stored = hash("correct horse battery staple", &[7; 16]).unwrap();
        assert!(is_hash(&stored), "{stored}");
        assert!(verify("correct horse battery staple", Some(&stored)));
        assert!(!verify("correct horse battery stapler", Some(&stored)));
        assert!(!verify("correct horse battery staple", None));
        assert_ne!(stored, hash("correct horse battery staple", &[8; 16]).unwrap());
    }

    #[test]
    fn nobody_is_verified_with_the_same_parameters() {
        assert!(is_hash(NOBODY));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn what_is_accepted_keeps_the_limits(password in "\\PC{0,140}") {
            if check("password", &password, EMAIL).is_ok() {
                prop_assert!(password.chars().count() >= MIN_CHARS && password.len() <= MAX_BYTES);
            }
        }

        #[test]
        fn a_derived_salt_repeats_and_differs_by_key(one in "[a-f0-9]{8}", other in "[a-f0-9]{8}") {
            prop_assert_eq!(derived_salt(&one) == derived_salt(&other), one == other);
        }

        #[test]
        fn no_text_of_someone_else_passes_as_a_hash(text in "\\PC{0,80}") {
            prop_assert!(!is_hash(&text));
        }
    }
}
