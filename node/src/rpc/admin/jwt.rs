//! Tokens of the admin listener: JWT with HS256, as the Engine API has them.

use std::fs::{OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use alloy_primitives::{B256, hex};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use eyre::{WrapErr, eyre};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use sha2::Sha256;

/// How far `iat` may be from the node's clock, seconds.
const MOST_SKEW_S: u64 = 60;
/// Mode of a secret's file: its owner reads and writes, nobody else.
const MODE: u32 = 0o600;

/// Why a request is not let in.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No header, or none of this kind.
    #[error("missing token: send \"Authorization: Bearer TOKEN\"")]
    Missing,
    /// Not three parts of base64url, or not the JSON that belongs there.
    #[error("malformed token: it must be a JWT with a numeric \"iat\"")]
    Malformed,
    /// Signed, or not signed, in another way.
    #[error("wrong algorithm {0:?}: it must be HS256")]
    Algorithm(String),
    /// Signed with another secret.
    #[error("wrong signature: the token was made with another secret")]
    Signature,
    /// Too old, or from the future.
    #[error("stale token: \"iat\" is {0} s away from this node's clock, at most {MOST_SKEW_S} s")]
    Stale(u64),
    /// Its own end has come.
    #[error("the token has expired")]
    Expired,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

/// Seconds of unix time; some libraries write them as fractions.
#[derive(Deserialize)]
struct Claims {
    iat: f64,
    exp: Option<f64>,
}

/// What tokens are signed with.
#[derive(Clone)]
pub struct Secret(B256);

impl Secret {
    /// Of known bytes.
    pub fn new(bytes: B256) -> Self {
        Self(bytes)
    }

    /// Reads 64 hex digits, with or without `0x`; makes the file with mode 0600 if it is missing.
    pub fn open(path: &Path) -> eyre::Result<Self> {
        let shown = path.display();
        let made = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
        match made {
            Ok(mut file) => {
                let secret = B256::random();
                file.write_all(format!("{}\n", hex::encode(secret)).as_bytes())
                    .and_then(|()| file.sync_all())
                    .wrap_err_with(|| format!("cannot write the secret {shown}"))?;
                return Ok(Self(secret));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).wrap_err_with(|| format!("cannot make the secret {shown}"));
            }
        }
        let read = || -> std::io::Result<(String, Permissions)> {
            Ok((std::fs::read_to_string(path)?, std::fs::metadata(path)?.permissions()))
        };
        let (text, permissions) =
            read().wrap_err_with(|| format!("cannot read the secret {shown}"))?;
        if permissions.mode() & !MODE & 0o777 != 0 {
            return Err(eyre!(
                "others may read the secret {shown}: make it private with `chmod 600 {shown}`"
            ));
        }
        let secret = text.trim().parse().map_err(|_| {
            eyre!("{shown} holds no secret: it must be 64 hex digits; remove it to have one made")
        })?;
        Ok(Self(secret))
    }

    /// A token made at a time, unix seconds.
    pub fn token(&self, iat: u64) -> String {
        let part = |value: serde_json::Value| BASE64.encode(value.to_string());
        let signed =
            [part(json!({ "alg": "HS256", "typ": "JWT" })), part(json!({ "iat": iat }))].join(".");
        let signature = BASE64.encode(self.mac(signed.as_bytes()).finalize().into_bytes());
        format!("{signed}.{signature}")
    }

    /// Whether the value of an `Authorization` header lets in at a time, unix seconds.
    pub fn check(&self, header: Option<&str>, now_s: u64) -> Result<(), Refusal> {
        let header = header.ok_or(Refusal::Missing)?;
        let (kind, token) = header.split_once(' ').ok_or(Refusal::Missing)?;
        if !kind.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::Missing);
        }
        let (signed, signature) = token.trim().rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (head, claims) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        let Header { alg } = part(head)?;
        if alg != "HS256" {
            return Err(Refusal::Algorithm(alg.chars().take(20).collect()));
        }
        let signature = BASE64.decode(signature).map_err(|_| Refusal::Malformed)?;
        // In constant time.
        self.mac(signed.as_bytes()).verify_slice(&signature).map_err(|_| Refusal::Signature)?;
        let Claims { iat, exp } = part(claims)?;
        let now = now_s as f64;
        let skew = (now - iat).abs();
        if skew > MOST_SKEW_S as f64 {
            return Err(Refusal::Stale(skew as u64));
        }
        match exp {
            Some(exp) if exp < now => Err(Refusal::Expired),
            _ => Ok(()),
        }
    }

    fn mac(&self, bytes: &[u8]) -> Hmac<Sha256> {
        let mac = <Hmac<Sha256> as Mac>::new_from_slice(self.0.as_slice());
        let mut mac = mac.expect("a key of HMAC may have any length");
        mac.update(bytes);
        mac
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Result<T, Refusal> {
    let bytes = BASE64.decode(text).map_err(|_| Refusal::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Refusal::Malformed)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;
    use tempfile::TempDir;

    use super::*;

    const NOW: u64 = 1_750_000_000;

    fn bearer(token: &str) -> String {
        format!("Bearer {token}")
    }

    /// A token of any header and claims, signed right.
    fn signed(secret: &Secret, head: &str, claims: &str) -> String {
        let signed = [BASE64.encode(head), BASE64.encode(claims)].join(".");
        let signature = BASE64.encode(secret.mac(signed.as_bytes()).finalize().into_bytes());
        format!("{signed}.{signature}")
    }

    #[test]
    fn tokens_let_in_within_a_minute() {
        let secret = Secret::new(B256::repeat_byte(7));
        let check = |iat: u64| secret.check(Some(&bearer(&secret.token(iat))), NOW);
        assert_eq!((check(NOW), check(NOW - 60), check(NOW + 60)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(check(NOW - 61), Err(Refusal::Stale(61)));
        assert_eq!(check(NOW + 100), Err(Refusal::Stale(100)));
    }

    #[test]
    fn the_example_of_rfc_7515_is_signed_as_there() {
        // Appendix A.1, whose key has 64 bytes: HMAC itself, and base64url without padding.
        let key = BASE64
            .decode(
                "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9C\
                 Aow",
            )
            .unwrap();
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&key).unwrap();
        mac.update(
            b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAs\
              DQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
        );
        let signature = BASE64.encode(mac.finalize().into_bytes());
        assert_eq!(signature, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        let secret = Secret::new(B256::repeat_byte(7));
        let check = |header: &str| secret.check(Some(header), NOW);
        let claims = format!("{{\"iat\":{NOW}}}");
        let with = |head: &str, claims: &str| check(&bearer(&signed(&secret, head, claims)));
        let hs256 = "{\"alg\":\"HS256\"}";
        assert_eq!(secret.check(None, NOW), Err(Refusal::Missing));
        assert_eq!(check("Basic YTpi"), Err(Refusal::Missing));
        assert_eq!(check("Bearer"), Err(Refusal::Missing));
        for token in ["", "a.b", "a.b.c", "....", "\u{fffd}.\u{fffd}.\u{fffd}"] {
            assert_eq!(check(&bearer(token)), Err(Refusal::Malformed), "{token}");
        }
        let none = Refusal::Algorithm("none".into());
        assert_eq!(with("{\"alg\":\"none\"}", &claims), Err(none.clone()));
        let unsigned = [BASE64.encode("{\"alg\":\"none\"}"), BASE64.encode(&claims)].join(".");
        assert_eq!(check(&bearer(&format!("{unsigned}."))), Err(none));
        let other = Secret::new(B256::repeat_byte(8)).token(NOW);
        assert_eq!(check(&bearer(&other)), Err(Refusal::Signature));
        let good = secret.token(NOW);
        assert_eq!(check(&bearer(&good[..good.len() - 4])), Err(Refusal::Signature));
        for claims in ["{}", "{\"iat\":\"now\"}", "{\"iat\":null}", "[]", ""] {
            assert_eq!(with(hs256, claims), Err(Refusal::Malformed), "{claims}");
        }
        assert!(matches!(with(hs256, "{\"iat\":1e308}"), Err(Refusal::Stale(_))));
        let expired = format!("{{\"iat\":{NOW},\"exp\":{}}}", NOW - 1);
        assert_eq!(with(hs256, &expired), Err(Refusal::Expired));
        assert_eq!(with(hs256, &format!("{{\"iat\":{NOW}.5,\"exp\":{NOW}}}")), Ok(()));
    }

    #[test]
    fn a_missing_secret_is_made_for_its_owner_alone() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("admin.jwt");
        let made = Secret::open(&path).unwrap();
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(), Secret::open(&path).unwrap().0), (MODE, made.0));
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(Secret::open(&path).err().unwrap().to_string().contains("chmod 600"));
        std::fs::set_permissions(&path, Permissions::from_mode(MODE)).unwrap();
        std::fs::write(&path, "short").unwrap();
        assert!(Secret::open(&path).err().unwrap().to_string().contains("64 hex digits"));
        let known = b256!("0x0101010101010101010101010101010101010101010101010101010101010101");
        std::fs::write(&path, known.to_string()).unwrap();
        assert_eq!(Secret::open(&path).unwrap().0, known, "0x in front is fine");
    }
}
