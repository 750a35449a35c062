//! Access tokens as the platform signs them, and as an attacker would. Tests hold the platform's private key, so a test
//! can have many users without registering them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What a token says and how it is signed. The default is a student's good token of no particular subject.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Token {
    /// The `sub` claim.
    pub sub: String,
    /// The `role` claim.
    pub role: String,
    /// Claims that replace or add to the usual ones.
    pub claims: Map<String, Value>,
    /// Claims that are left out.
    pub without: Vec<String>,
    /// Seconds from now to `iat`, which may be negative.
    pub issued_in_s: i64,
    /// Seconds from now to `exp`, which may be negative.
    pub expires_in_s: i64,
    /// How it is signed.
    pub sign: Sign,
}

/// How a token is signed.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// As the platform does it.
    #[default]
    Own,
    /// By EdDSA with a key that nobody knows.
    OtherKey,
    /// `alg: none` and no signature.
    None,
    /// `alg: none` and the signature that EdDSA would have.
    NoneWithSignature,
    /// HS256 with the text of the public key's PEM as the secret.
    Hs256PublicPem,
    /// HS256 with the bytes of the public key as the secret.
    Hs256PublicBytes,
    /// As the platform does it, and then the payload is changed to say `admin`.
    Tampered,
    /// As the platform does it, and then the signature is cut off.
    CutOff,
}

impl Default for Token {
    fn default() -> Self {
        Self {
            sub: "018f0000-0000-7000-8000-000000000000".to_owned(),
            role: "student".to_owned(),
            claims: Map::new(),
            without: Vec::new(),
            issued_in_s: 0,
            expires_in_s: 900,
            sign: Sign::Own,
        }
    }
}

impl Token {
    /// A good token of that user.
    #[must_use]
    pub fn of(sub: &str, role: &str) -> Self {
        Self { sub: sub.to_owned(), role: role.to_owned(), ..Self::default() }
    }

    /// The token; `private_pem` is the platform's signing key.
    ///
    /// # Panics
    /// If that is no Ed25519 key.
    #[must_use]
    pub fn encode(&self, private_pem: &str) -> String {
        let key = SigningKey::from_pkcs8_pem(private_pem).expect("the platform's key is Ed25519 in PKCS #8 PEM");
        let public_pem = key.verifying_key().to_public_key_pem(LineEnding::LF).expect("a public key has a PEM");
        let claims = self.claims();
        let eddsa = |key: &SigningKey| {
            let pem = key.to_pkcs8_pem(LineEnding::LF).expect("a private key has a PEM");
            let key = EncodingKey::from_ed_pem(pem.as_bytes()).expect("the key signs");
            signed(Algorithm::EdDSA, &claims, &key)
        };
        match self.sign {
            Sign::Own => eddsa(&key),
            Sign::OtherKey => eddsa(&SigningKey::from_bytes(&[7; 32])),
            Sign::None => format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(&claims)),
            Sign::NoneWithSignature => {
                let [_, payload, signature] = parts(&eddsa(&key));
                format!("{}.{payload}.{signature}", part(&json!({"alg": "none", "typ": "JWT"})))
            }
            Sign::Hs256PublicPem => signed(Algorithm::HS256, &claims, &EncodingKey::from_secret(public_pem.as_bytes())),
            Sign::Hs256PublicBytes => {
                signed(Algorithm::HS256, &claims, &EncodingKey::from_secret(key.verifying_key().as_bytes()))
            }
            Sign::Tampered => {
                let [header, _, signature] = parts(&eddsa(&key));
                let mut claims = claims.clone();
                claims["role"] = json!("admin");
                format!("{header}.{}.{signature}", part(&claims))
            }
            Sign::CutOff => {
                let [header, payload, _] = parts(&eddsa(&key));
                format!("{header}.{payload}.")
            }
        }
    }

    fn claims(&self) -> Value {
        let now_s = i64::try_from(jsonwebtoken::get_current_timestamp()).expect("a time in this age");
        let mut claims = json!({
            "iss": "education-platform",
            "aud": "microservices",
            "sub": self.sub,
            "email": format!("{}@example.com", self.sub),
            "role": self.role,
            "permissions": [],
            "scope": "",
            "type": "access",
            "jti": uuid::Uuid::new_v4().to_string(),
            "iat": now_s + self.issued_in_s,
            "exp": now_s + self.expires_in_s,
        });
        let map = claims.as_object_mut().expect("claims are an object");
        map.extend(self.claims.clone());
        map.retain(|name, _| !self.without.contains(name));
        claims
    }
}

fn signed(algorithm: Algorithm, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, key).expect("claims can be signed")
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn parts(token: &str) -> [String; 3] {
    let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts.try_into().expect("a token has three parts")
}
