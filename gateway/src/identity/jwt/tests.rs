//! Signatures of the RFCs, and tokens with one thing wrong each.

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
};
use serde_json::json;

use super::*;

const ISSUER: &str = "https://login.example.com";
const RESOURCE: &str = "https://mcp.example.com/weather/mcp";
/// RFC 7515, A.2.1.
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn key_set(keys: &Value) -> KeySet {
    KeySet::read(ISSUER, json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

/// A key pair made for one test, with the id `k1`.
struct Signer(Ed25519KeyPair);

impl Signer {
    fn new() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    fn jwk(&self) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": encode(self.0.public_key()) })
    }

    fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = encode(self.0.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn good() -> Value {
    json!({ "iss": ISSUER, "sub": "alice", "aud": RESOURCE, "exp": 1_800_000_600 })
}

fn judge(token: &str, keys: &KeySet) -> Result<Timestamp, Error> {
    Unverified::read(token)?
        .verify(keys)?
        .check(&[RESOURCE], now())
}

#[test]
fn the_signatures_of_the_rfcs_are_verified() {
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let rows = [
        // RFC 7515, A.2 and A.3; RFC 8037, A.4.
        (
            json!({ "kty": "RSA", "n": RSA_N, "e": "AQAB" }),
            format!("eyJhbGciOiJSUzI1NiJ9.{payload}"),
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
            Algorithm::Rs256,
        ),
        (
            json!({
                "kty": "EC", "crv": "P-256",
                "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
            }),
            format!("eyJhbGciOiJFUzI1NiJ9.{payload}"),
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
            Algorithm::Es256,
        ),
        (
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned(),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
            Algorithm::EdDsa,
        ),
    ];
    for (jwk, signed, signature, algorithm) in rows {
        let keys = key_set(&json!([jwk]));
        let mut signature = decode(signature).unwrap();
        let verify = |signature: &[u8]| keys.verify(None, algorithm, signed.as_bytes(), signature);
        assert_eq!(verify(&signature), Ok(()), "{algorithm:?}");
        signature[7] ^= 1;
        assert_eq!(
            verify(&signature),
            Err(NotVerified::Signature),
            "{algorithm:?}"
        );
    }
}

#[test]
fn both_curves_are_verified_by_the_algorithm_of_their_length() {
    fn pair(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap()
    }
    for (signing, curve, name, other) in [
        (&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", "ES256", "ES384"),
        (&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", "ES384", "ES256"),
    ] {
        let pair = pair(signing);
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let keys = key_set(
            &json!([{ "kty": "EC", "crv": curve, "kid": "e1", "x": encode(x), "y": encode(y) }]),
        );
        let token = |alg: &str| {
            let header = json!({ "alg": alg, "kid": "e1" }).to_string();
            let signed = format!("{}.{}", encode(header), encode(good().to_string()));
            let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", encode(signature))
        };
        assert!(judge(&token(name), &keys).is_ok(), "{name}");
        assert_eq!(judge(&token(other), &keys), Err(Error::Key), "{other}");
    }
}

#[test]
fn a_good_token_is_good_until_its_end_and_the_skew() {
    let signer = Signer::new();
    let keys = key_set(&json!([signer.jwk()]));
    for header in [
        r#"{"alg":"EdDSA","kid":"k1"}"#,
        r#"{"alg":"EdDSA"}"#,
        r#"{"alg":"Ed25519","kid":"k1","typ":"JWT"}"#,
        r#"{"alg":"EdDSA","typ":"at+jwt","jku":"https://evil.test/keys","x5u":"https://evil.test"}"#,
        r#"{"typ":"application/AT+JWT","alg":"EdDSA"}"#,
    ] {
        let until = judge(&signer.sign(header, &good().to_string()), &keys);
        assert_eq!(
            until,
            Ok(Timestamp::from_second(1_800_000_660).unwrap()),
            "{header}"
        );
    }
    for (member, value) in [
        ("exp", json!(1_799_999_941)),
        ("exp", json!(1_799_999_941.9)),
        ("exp", json!(1e300)),
        ("nbf", json!(1_800_000_060)),
        ("aud", json!(["https://other.example.com", RESOURCE])),
    ] {
        let mut claims = good();
        claims[member] = value;
        let token = signer.sign(r#"{"alg":"EdDSA"}"#, &claims.to_string());
        assert!(judge(&token, &keys).is_ok(), "{claims}");
    }
}

#[test]
fn a_token_with_one_thing_wrong_is_refused_for_it() {
    let signer = Signer::new();
    let keys = key_set(&json!([signer.jwk()]));
    let plain = r#"{"alg":"EdDSA","kid":"k1"}"#;
    let with = |member: &str, value: Value| {
        let mut claims = good();
        claims[member] = value;
        claims.to_string()
    };
    let without = |member: &str| {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(member);
        claims.to_string()
    };
    let claims = good().to_string();
    let doubled = claims.replacen('{', r#"{"sub":"root","#, 1);
    let escaped = claims.replacen('{', r#"{"\u0069ss":"https://evil.test","#, 1);
    let rows: Vec<(&str, String, Error)> = vec![
        (r#"{"kid":"k1"}"#, claims.clone(), Error::Member("alg")),
        (
            r#"{"alg":7,"kid":"k1"}"#,
            claims.clone(),
            Error::Member("alg"),
        ),
        (
            r#"{"alg":"none","kid":"k1"}"#,
            claims.clone(),
            Error::Algorithm,
        ),
        (r#"{"alg":"None"}"#, claims.clone(), Error::Algorithm),
        (
            r#"{"alg":"HS256","kid":"k1"}"#,
            claims.clone(),
            Error::Algorithm,
        ),
        (
            r#"{"alg":"eddsa","kid":"k1"}"#,
            claims.clone(),
            Error::Algorithm,
        ),
        (
            r#"{"alg":"ES512","kid":"k1"}"#,
            claims.clone(),
            Error::Algorithm,
        ),
        (r#"{"alg":"RS256","kid":"k1"}"#, claims.clone(), Error::Key),
        (r#"{"alg":"ES256"}"#, claims.clone(), Error::Key),
        (r#"{"alg":"EdDSA","kid":"k2"}"#, claims.clone(), Error::Key),
        (r#"{"alg":"EdDSA","kid":""}"#, claims.clone(), Error::Key),
        (
            r#"{"alg":"EdDSA","kid":["k1"]}"#,
            claims.clone(),
            Error::Member("kid"),
        ),
        (
            r#"{"alg":"EdDSA","crit":["b64"],"b64":false}"#,
            claims.clone(),
            Error::Critical,
        ),
        (
            r#"{"alg":"EdDSA","typ":"logout+jwt"}"#,
            claims.clone(),
            Error::Type,
        ),
        (
            r#"{"alg":"EdDSA","typ":"dpop+jwt"}"#,
            claims.clone(),
            Error::Type,
        ),
        (
            r#"{"alg":"EdDSA","alg":"none"}"#,
            claims.clone(),
            Error::Json {
                part: "header",
                source: json::Error::DuplicateKey { at: 15 },
            },
        ),
        (r#"["EdDSA"]"#, claims.clone(), Error::Member("header")),
        (
            plain,
            doubled.clone(),
            Error::Json {
                part: "claims",
                source: json::Error::DuplicateKey {
                    at: doubled.rfind(r#""sub""#).unwrap(),
                },
            },
        ),
        (
            plain,
            escaped.clone(),
            Error::Json {
                part: "claims",
                source: json::Error::DuplicateKey {
                    at: escaped.rfind(r#""iss""#).unwrap(),
                },
            },
        ),
        (
            plain,
            format!("{claims}x"),
            Error::Json {
                part: "claims",
                source: json::Error::Trailing { at: claims.len() },
            },
        ),
        (plain, "[]".to_owned(), Error::Member("claims")),
        (plain, without("iss"), Error::Member("iss")),
        (plain, with("iss", json!([ISSUER])), Error::Member("iss")),
        (
            plain,
            with("iss", json!("https://login.example.com/")),
            Error::Issuer,
        ),
        (
            plain,
            with("iss", json!("https://LOGIN.example.com")),
            Error::Issuer,
        ),
        (plain, without("aud"), Error::Member("aud")),
        (plain, with("aud", json!([])), Error::Audience),
        (
            plain,
            with("aud", json!([RESOURCE, 7])),
            Error::Member("aud"),
        ),
        (
            plain,
            with("aud", json!("https://mcp.example.com/weather")),
            Error::Audience,
        ),
        (
            plain,
            with("aud", json!(format!("{RESOURCE}/"))),
            Error::Audience,
        ),
        (plain, without("exp"), Error::Member("exp")),
        (
            plain,
            with("exp", json!("1800000600")),
            Error::Member("exp"),
        ),
        (plain, with("exp", json!(1_799_999_940)), Error::Expired),
        (plain, with("exp", json!(-1e300)), Error::Expired),
        (plain, with("exp", json!(0)), Error::Expired),
        (plain, with("nbf", json!(1_800_000_061)), Error::Early),
        (plain, with("nbf", json!(null)), Error::Member("nbf")),
        (plain, with("cnf", json!({ "jkt": "x" })), Error::Bound),
    ];
    for (header, claims, expected) in rows {
        let token = signer.sign(header, &claims);
        assert_eq!(judge(&token, &keys), Err(expected), "{header} {claims}");
    }
}

#[test]
fn what_is_no_signed_token_is_none() {
    let signer = Signer::new();
    let keys = key_set(&json!([signer.jwk()]));
    let token = signer.sign(r#"{"alg":"EdDSA"}"#, &good().to_string());
    let (begin, signature) = token.rsplit_once('.').unwrap();
    let long = "a".repeat(LONGEST + 1);
    let rows: Vec<(String, Error)> = vec![
        (String::new(), Error::Parts),
        ("mcps_opaque".to_owned(), Error::Parts),
        (begin.to_owned(), Error::Parts),
        (format!("{token}.x"), Error::Parts),
        (format!("{token}.a.b"), Error::Parts),
        (format!("{begin}."), Error::Signature),
        (format!("{token}="), Error::Encoding),
        (format!("{begin}.{}+", &signature[1..]), Error::Encoding),
        (long, Error::TooLong),
        (
            Signer::new().sign(r#"{"alg":"EdDSA","kid":"k1"}"#, &good().to_string()),
            Error::Signature,
        ),
    ];
    for (token, expected) in rows {
        assert_eq!(judge(&token, &keys), Err(expected), "{token}");
    }
}

#[test]
fn a_public_key_is_never_a_shared_secret() {
    let keys = key_set(&json!([
        { "kty": "RSA", "kid": "r1", "n": RSA_N, "e": "AQAB" },
        { "kty": "oct", "kid": "s1", "k": encode("secret") },
    ]));
    for (kid, secret) in [("r1", decode(RSA_N).unwrap()), ("s1", b"secret".to_vec())] {
        let header = json!({ "alg": "HS256", "kid": kid }).to_string();
        let signed = format!("{}.{}", encode(header), encode(good().to_string()));
        let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
        let token = format!(
            "{signed}.{}",
            encode(ring::hmac::sign(&secret, signed.as_bytes()))
        );
        assert_eq!(judge(&token, &keys), Err(Error::Algorithm), "{kid}");
    }
}

#[test]
fn a_key_is_used_only_for_what_it_is_made_for() {
    let signer = Signer::new();
    let token = signer.sign(r#"{"alg":"EdDSA","kid":"k1"}"#, &good().to_string());
    let other = json!({ "kty": "RSA", "kid": "r1", "n": RSA_N, "e": "AQAB" });
    let with = |member: &str, value: Value| {
        let mut jwk = signer.jwk();
        jwk[member] = value;
        judge(&token, &key_set(&json!([jwk, other])))
    };
    for (member, value) in [
        ("use", json!("sig")),
        ("alg", json!("EdDSA")),
        ("key_ops", json!(["verify"])),
        ("unknown", json!({ "a": [1] })),
    ] {
        assert!(with(member, value).is_ok(), "{member}");
    }
    for (member, value) in [
        ("use", json!("enc")),
        ("alg", json!("RS256")),
        ("alg", json!("ECDH-ES")),
        ("key_ops", json!(["sign"])),
        ("crv", json!("X25519")),
        ("kty", json!("EC")),
        ("x", json!("AAAA")),
        ("kid", json!(7)),
    ] {
        assert_eq!(
            with(member, value.clone()),
            Err(Error::Key),
            "{member} {value}"
        );
    }
    // Without an id the key must be beyond doubt.
    let nameless = signer.sign(r#"{"alg":"EdDSA"}"#, &good().to_string());
    let two = key_set(&json!([signer.jwk(), Signer::new().jwk()]));
    assert_eq!(judge(&nameless, &two), Err(Error::Key));
    assert!(judge(&token, &two).is_ok());
}

#[test]
fn a_document_without_keys_is_none() {
    for document in [
        "",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"oct","k":"AAAA"},{"kty":7}]}"#,
    ] {
        assert!(
            KeySet::read(ISSUER, document.as_bytes()).is_err(),
            "{document}"
        );
    }
}
