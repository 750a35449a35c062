//! The public keys that verify tokens. Each key knows the one algorithm it is for, so that a token can never choose.

use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use ed25519_dalek::{SigningKey, VerifyingKey};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};

/// Most keys of a set: a token without a key id is tried against all of its algorithm.
const MAX_KEYS: usize = 16;
/// Smallest RSA modulus, in bytes (2048 bits, RFC 7518 section 3.3).
const MIN_RSA_BYTES: usize = 256;

/// Keys that verify tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    /// The key id; `None` for a key from a PEM file, which is tried whatever id the token names.
    id: Option<String>,
    pub algorithm: Algorithm,
    pub decoding: DecodingKey,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let same_key = match (self.decoding.kind(), other.decoding.kind()) {
            (DecodingKeyKind::SecretOrDer(one), DecodingKeyKind::SecretOrDer(other)) => one == other,
            (
                DecodingKeyKind::RsaModulusExponent { n, e },
                DecodingKeyKind::RsaModulusExponent { n: other_n, e: other_e },
            ) => (n, e) == (other_n, other_e),
            _ => false,
        };
        same_key && (&self.id, self.algorithm) == (&other.id, other.algorithm)
    }
}

impl Eq for Key {}

/// A key that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The PEM text holds no key that we take.
    #[error("the PEM text is no Ed25519 key (PKCS #8 private or SPKI public) and no RSA public key")]
    Pem,
    /// The key is too weak to trust.
    #[error("the key is too weak: {0}")]
    Weak(&'static str),
    /// The JWKS text is not a set of keys.
    #[error("the JWKS text is not a JSON Web Key Set: {0}")]
    Jwks(String),
    /// The set holds no key that we take.
    #[error("the JWKS text has no signature key for EdDSA (OKP, Ed25519) or RS256 (RSA)")]
    NoUsableKey,
    /// The set is larger than we try.
    #[error("more than {MAX_KEYS} keys: remove those that no longer sign")]
    TooMany,
}

impl KeySet {
    /// Adds the key of a PEM text: Ed25519 public, Ed25519 private (its public half is kept), or RSA public.
    ///
    /// # Errors
    /// [`KeyError`] if it is another kind of key, or a weak one.
    pub fn add_pem(&mut self, pem: &str) -> Result<(), KeyError> {
        let ed25519 = SigningKey::from_pkcs8_pem(pem)
            .map(|private| private.verifying_key())
            .or_else(|_| VerifyingKey::from_public_key_pem(pem));
        let (algorithm, decoding) = match ed25519 {
            Ok(key) => (Algorithm::EdDSA, ed25519_key(key)?),
            // Also private RSA keys would parse, and verify nothing.
            Err(_) if pem.contains(" PRIVATE KEY-----") => return Err(KeyError::Pem),
            Err(_) => {
                (Algorithm::RS256, rsa_key(DecodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| KeyError::Pem)?)?)
            }
        };
        self.add(Key { id: None, algorithm, decoding })
    }

    /// Adds the keys of a JSON Web Key Set. Keys for other purposes and algorithms are left out.
    ///
    /// # Errors
    /// [`KeyError`] if it is no such set, or none of its keys is of use, or one is weak.
    pub fn add_jwks(&mut self, json: &str) -> Result<(), KeyError> {
        let set: JwkSet = serde_json::from_str(json).map_err(|error| KeyError::Jwks(error.to_string()))?;
        let before = self.keys.len();
        for jwk in &set.keys {
            if let Some(key) = jwk_key(jwk)? {
                self.add(key)?;
            }
        }
        if self.keys.len() == before { Err(KeyError::NoUsableKey) } else { Ok(()) }
    }

    /// The same with the keys of other sets, as far as there is room; the log tells if that is not so.
    pub(super) fn with<'a>(mut self, others: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut keys = others.into_iter().flat_map(|other| &other.keys).cloned();
        if let Err(error) = keys.try_for_each(|key| self.add(key)) {
            tracing::error!(%error, "not all keys for tokens are taken");
        }
        self
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn add(&mut self, key: Key) -> Result<(), KeyError> {
        if self.keys.len() >= MAX_KEYS {
            return Err(KeyError::TooMany);
        }
        self.keys.push(key);
        Ok(())
    }

    /// The keys that may have signed a token with this header.
    pub(super) fn candidates(&self, algorithm: Algorithm, id: Option<&str>) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| {
            let same_id = match (&key.id, id) {
                (Some(own), Some(named)) => own == named,
                (None, _) | (_, None) => true,
            };
            key.algorithm == algorithm && same_id
        })
    }
}

fn jwk_key(jwk: &Jwk) -> Result<Option<Key>, KeyError> {
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return Ok(None);
    }
    let named = jwk.common.key_algorithm.map(|algorithm| algorithm.to_string());
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        _ => return Ok(None),
    };
    let expected = if algorithm == Algorithm::EdDSA { "EdDSA" } else { "RS256" };
    if named.is_some_and(|named| named != expected) {
        return Ok(None);
    }
    let decoding = DecodingKey::from_jwk(jwk).map_err(|error| KeyError::Jwks(error.to_string()))?;
    let decoding = match (algorithm, decoding.kind()) {
        (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(bytes)) => {
            let bytes = <&[u8; 32]>::try_from(bytes.as_slice()).ok();
            let key = bytes.and_then(|bytes| VerifyingKey::from_bytes(bytes).ok());
            ed25519_key(key.ok_or_else(|| KeyError::Jwks("an Ed25519 key is 32 bytes on the curve".into()))?)?
        }
        _ => rsa_key(decoding)?,
    };
    Ok(Some(Key { id: jwk.common.key_id.clone(), algorithm, decoding }))
}

fn ed25519_key(key: VerifyingKey) -> Result<DecodingKey, KeyError> {
    if key.is_weak() {
        return Err(KeyError::Weak("an Ed25519 point of small order verifies signatures that nobody made"));
    }
    Ok(DecodingKey::from_ed_der(key.as_bytes()))
}

fn rsa_key(key: DecodingKey) -> Result<DecodingKey, KeyError> {
    // A DER key is its modulus, an exponent and a few bytes of framing.
    let bytes = match key.kind() {
        DecodingKeyKind::SecretOrDer(der) => der.len(),
        DecodingKeyKind::RsaModulusExponent { n, .. } => n.len(),
    };
    if bytes < MIN_RSA_BYTES { Err(KeyError::Weak("RSA needs 2048 bits or more")) } else { Ok(key) }
}
