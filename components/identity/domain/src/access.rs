//! Access tokens: JWTs (RFC 7519) signed with EdDSA over Ed25519. The gateway verifies them with the public key alone.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::{Signer, SigningKey};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::account::Role;

/// How long an access token is good for, in seconds.
pub const LIFETIME_S: i64 = 15 * 60;
const ISSUER: &str = "education-platform";
const AUDIENCE: &str = "microservices";

/// Whom a token speaks for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The account's id.
    pub id: &'a str,
    /// The account's e-mail.
    pub email: &'a str,
    /// The account's role.
    pub role: Role,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    email: &'a str,
    role: &'a str,
    permissions: &'a [&'a str],
    scope: String,
    #[serde(rename = "type")]
    kind: &'a str,
    jti: &'a str,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// Signs access tokens.
pub struct Issuer {
    key: SigningKey,
    key_id: String,
}

impl Issuer {
    /// An issuer with an Ed25519 key in PKCS#8 PEM.
    ///
    /// # Errors
    /// If the text is no such key; the error says nothing about the text.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let key = SigningKey::from_pkcs8_pem(pem.trim())
            .map_err(|_| "the variable jwt_private_key is not an Ed25519 private key in PKCS#8 PEM".to_owned())?;
        let key_id = key_id(key.verifying_key().as_bytes());
        Ok(Self { key, key_id })
    }

    /// A token for `subject`, issued at `issued_at_s` (seconds since the Unix epoch) and good for [`LIFETIME_S`] after
    /// `now_s`. `issued_at_s` may lie a little ahead of `now_s`: see the operations that void tokens.
    #[must_use]
    pub fn issue(&self, subject: Subject<'_>, token_id: &str, issued_at_s: i64, now_s: i64) -> String {
        let permissions = subject.role.permissions();
        let claims = Claims {
            iss: ISSUER,
            aud: AUDIENCE,
            sub: subject.id,
            email: subject.email,
            role: subject.role.name(),
            permissions,
            scope: permissions.join(" "),
            kind: "access",
            jti: token_id,
            iat: issued_at_s,
            nbf: now_s,
            exp: now_s + LIFETIME_S,
        };
        let header = Header { alg: "EdDSA", typ: "JWT", kid: &self.key_id };
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()).to_bytes());
        format!("{signed}.{signature}")
    }
}

/// Names a public key: the first 8 bytes of its SHA-256 in hexadecimal.
#[must_use]
pub fn key_id(public_key: &[u8; 32]) -> String {
    Sha256::digest(public_key).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn part(value: &impl Serialize) -> String {
    // Plain structs of strings and numbers always serialise.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, Verifier, VerifyingKey};
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// The private key of RFC 8410, section 10.3.
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";

    fn verify(token: &str, key: &VerifyingKey) -> (Value, Value) {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let signature = Signature::from_slice(&bytes(signature)).unwrap();
        key.verify(signed.as_bytes(), &signature).unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        (serde_json::from_slice(&bytes(header)).unwrap(), serde_json::from_slice(&bytes(claims)).unwrap())
    }

    #[test]
    fn a_key_that_is_none_is_refused_without_showing_it() {
        let error = Issuer::from_pem("hunter2").err().unwrap();
        assert!(error.contains("jwt_private_key") && !error.contains("hunter2"));
    }

    proptest! {
        #[test]
        fn a_token_verifies_with_the_public_key_and_says_what_it_was_given(
            email in "\\PC{1,40}", id in "[0-9a-f-]{36}", now in 0i64..4_000_000_000, role in 0usize..4
        ) {
            let issuer = Issuer::from_pem(PEM).unwrap();
            let role = Role::ALL[role];
            let token = issuer.issue(Subject { id: &id, email: &email, role }, "token-1", now + 1, now);
            let (header, claims) = verify(&token, &issuer.key.verifying_key());
            prop_assert_eq!(&header["alg"], "EdDSA");
            prop_assert_eq!(&header["kid"], &key_id(issuer.key.verifying_key().as_bytes()));
            prop_assert_eq!(claims["sub"].as_str(), Some(id.as_str()));
            prop_assert_eq!(claims["email"].as_str(), Some(email.as_str()));
            prop_assert_eq!(claims["role"].as_str(), Some(role.name()));
            prop_assert_eq!(claims["type"].as_str(), Some("access"));
            prop_assert_eq!(claims["iat"].as_i64(), Some(now + 1));
            prop_assert_eq!(claims["exp"].as_i64(), Some(now + LIFETIME_S));
            prop_assert_eq!(claims["permissions"].as_array().unwrap().len(), role.permissions().len());
        }
    }
}
