//! Signatures of requests to AWS and to servers that speak as it does: Signature Version 4, as "Authenticating Requests (AWS Signature Version 4)" of the S3 API reference describes it.
//!
//! In: a request and credentials. Out: the value of its `Authorization` header.

use ring::hmac;

use crate::duration::day;
use crate::nix::hash::Sha256;
use crate::secret::Secret;

/// What requests are signed with.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub access_key: String,
    pub secret_key: Secret,
    /// Of temporary credentials.
    pub session_token: Option<Secret>,
}

/// What is signed of a request. Header names are in lower case.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    pub method: &'a str,
    /// Encoded, from the first slash on.
    pub path: &'a str,
    /// Names and values, not encoded.
    pub query: &'a [(&'a str, &'a str)],
    pub headers: &'a [(&'a str, &'a str)],
    /// Digest of the body, in hexadecimal.
    pub payload: &'a str,
}

/// `20130524T000000Z` for seconds since 1970.
pub fn timestamp(seconds: u64) -> String {
    let rest = seconds % 86_400;
    format!("{}T{:02}{:02}{:02}Z", day(seconds).replace('-', ""), rest / 3600, rest / 60 % 60, rest % 60)
}

/// Text in a path or a query; slashes stay in a path.
pub fn encoded(text: &str, keeps_slashes: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keeps_slashes && byte == b'/');
        match is_plain {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// A query as it is sent and signed: encoded and in order.
pub fn query(parameters: &[(&str, &str)]) -> String {
    let mut parameters: Vec<(String, String)> =
        parameters.iter().map(|(name, value)| (encoded(name, false), encoded(value, false))).collect();
    parameters.sort_unstable();
    let parameters: Vec<String> = parameters.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    parameters.join("&")
}

/// The value of the header `Authorization`. `time` is that of the header `x-amz-date`.
pub fn authorization(request: &Signed, credentials: &Credentials, region: &str, service: &str, time: &str) -> String {
    let mut headers: Vec<String> =
        request.headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    headers.sort_unstable();
    let mut names: Vec<&str> = request.headers.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let names = names.join(";");
    let canonical = format!(
        "{}\n{}\n{}\n{}\n{names}\n{}",
        request.method,
        request.path,
        query(request.query),
        headers.concat(),
        request.payload
    );
    let date = time.split('T').next().unwrap_or_default();
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", Sha256::of(canonical.as_bytes()).base16());
    let mut key = format!("AWS4{}", credentials.secret_key.reveal()).into_bytes();
    for part in [date, region, service, "aws4_request"] {
        key = mac(&key, part).as_ref().to_vec();
    }
    let signature: String = mac(&key, &text).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        credentials.access_key
    )
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of no bytes.
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn signature(request: Signed, key: (&str, &str), service: &str, time: &str) -> String {
        let credentials =
            Credentials { access_key: key.0.into(), secret_key: Secret::of_test(key.1), session_token: None };
        let whole = authorization(&request, &credentials, "us-east-1", service, time);
        whole.rsplit_once('=').unwrap().1.to_owned()
    }

    #[test]
    fn the_examples_of_the_s3_reference_are_signed_as_it_says() {
        let of = |method, path, query, more: &[(&'static str, &'static str)], payload: &'static str| {
            let mut headers = vec![
                ("host", "examplebucket.s3.amazonaws.com"),
                ("x-amz-content-sha256", payload),
                ("x-amz-date", "20130524T000000Z"),
            ];
            headers.extend(more);
            let request = Signed { method, path, query, headers: &headers, payload };
            let key = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
            signature(request, key, "s3", "20130524T000000Z")
        };
        assert_eq!(
            of("GET", "/test.txt", &[], &[("range", "bytes=0-9")], EMPTY),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        assert_eq!(encoded("/test$file.text", true), "/test%24file.text");
        let put = [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")];
        let body = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        assert_eq!(
            of("PUT", "/test%24file.text", &[], &put, body),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
        assert_eq!(
            of("GET", "/", &[("lifecycle", "")], &[], EMPTY),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
        );
        assert_eq!(
            of("GET", "/", &[("prefix", "J"), ("max-keys", "2")], &[], EMPTY),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }

    #[test]
    fn the_test_suite_for_all_services_is_signed_as_it_says() {
        let of = |query| {
            let headers = [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")];
            let request = Signed { method: "GET", path: "/", query, headers: &headers, payload: EMPTY };
            let key = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
            signature(request, key, "service", "20150830T123600Z")
        };
        assert_eq!(of(&[]), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
        let parameters = [("Param2", "value2"), ("Param1", "value1")];
        assert_eq!(of(&parameters), "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
    }

    #[test]
    fn times_are_written_as_aws_reads_them() {
        assert_eq!(timestamp(1_369_353_600), "20130524T000000Z");
        assert_eq!(timestamp(1_440_938_160), "20150830T123600Z");
    }
}
