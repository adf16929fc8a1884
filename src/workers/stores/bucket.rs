//! The address of a bucket of S3, or of a server that speaks as it does: `s3://BUCKET[/FOLDER]`, with the parameters `region`, `endpoint` and `scheme` as Nix has them.
//!
//! In: text of nixdag.yml, of a flag or a plan. Out: where requests go. Whoever reads a plan or a configuration reads the text too, so credentials in it are refused, and not repeated.

use anyhow::{Result, ensure};
use ureq::http::Uri;

use super::sigv4::encoded;
use crate::http;
use crate::nix::binary_cache::store_url::StoreUrl;
use crate::printable::printable_url;

/// Where a bucket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// What comes before its objects in their keys; may be empty.
    pub folder: String,
    /// The region that requests are signed for.
    pub region: String,
    /// `https`, or `http` for this machine.
    pub scheme: String,
    /// Host and port.
    pub host: String,
    /// The path of the bucket in an address, with a slash at both ends.
    pub path: String,
}

impl Bucket {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self> {
        let shown = printable_url(text);
        let rest = text.strip_prefix("s3://").unwrap_or_default();
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        ensure!(
            !authority.contains('@'),
            "the address of a bucket with a name or a key in front of `@`: everybody who sees the plan would have it. Put \
             `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` into the environment of the jobs, and write `s3://BUCKET`"
        );
        StoreUrl::public(text)?;
        let (address, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (name, folder) = address.split_once('/').unwrap_or((address, ""));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        ensure!(
            !name.is_empty() && name.bytes().all(is_name),
            "`{shown}`: a bucket's name has letters, digits, `-`, `_` and `.` (expected `s3://BUCKET`)"
        );
        let parameter = |name: &str| {
            let mut pairs = parameters.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value).filter(|value| !value.is_empty())
        };
        let region = parameter("region").unwrap_or("us-east-1");
        let endpoint = parameter("endpoint").map(|endpoint| match endpoint.split_once("://") {
            Some((scheme, host)) => (Some(scheme), host.trim_end_matches('/')),
            None => (None, endpoint.trim_end_matches('/')),
        });
        let (host, path) = match endpoint {
            Some((_, host)) => (host.to_owned(), format!("/{}/", encoded(name, false))),
            // A certificate of AWS names one level.
            None if name.contains('.') => (format!("s3.{region}.amazonaws.com"), format!("/{name}/")),
            None => (format!("{name}.s3.{region}.amazonaws.com"), "/".to_owned()),
        };
        let scheme = endpoint.and_then(|(own, _)| own).or_else(|| parameter("scheme")).unwrap_or("https");
        let uri: Uri = http::address(&format!("{scheme}://{host}"))?;
        ensure!(
            scheme == "https" || http::is_loopback(&uri),
            "`{shown}`: workers talk to a bucket by https, since others could change what they say"
        );
        let folder = folder.trim_end_matches('/').to_owned();
        Ok(Self { name: name.to_owned(), folder, region: region.to_owned(), scheme: scheme.to_owned(), host, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_buckets() {
        let of = |text: &str| {
            let bucket = Bucket::parse(text).unwrap();
            format!("{}://{}{} {}", bucket.scheme, bucket.host, bucket.path, bucket.folder)
        };
        assert_eq!(of("s3://names?region=eu-west-1"), "https://names.s3.eu-west-1.amazonaws.com/ ");
        assert_eq!(of("s3://a.b/ci/x/"), "https://s3.us-east-1.amazonaws.com/a.b/ ci/x");
        assert_eq!(of("s3://names?endpoint=https://minio.example.org:9000/"), "https://minio.example.org:9000/names/ ");
        assert_eq!(of("s3://names?scheme=http&endpoint=127.0.0.1:9"), "http://127.0.0.1:9/names/ ");
    }

    #[test]
    fn what_cannot_be_asked_is_refused_and_no_credentials_are_shown() {
        for (text, why) in [
            ("s3://", "names no bucket"),
            ("s3://?region=x", "names no bucket"),
            ("s3://a b", "is not a store URL"),
            ("s3://bücket", "is not a store URL"),
            ("s3://a+b", "a bucket's name has"),
            ("s3://a?endpoint=minio.example.org&scheme=http", "by https"),
            ("s3://a?endpoint=ftp://minio.example.org", "is not an address"),
            ("s3://a?region=eu west", "is not a store URL"),
            ("s3://KEY:s3cr3t@a?region=x", "in front of `@`"),
            ("s3://s3cr3t@a", "in front of `@`"),
            ("s3://a?endpoint=https://me:s3cr3t@minio.example.org", ""),
            ("s3://a:s3cr3t/b@c", ""),
            ("s3://KEY:s3cr3t%40a", ""),
        ] {
            let said = format!("{:#}", Bucket::parse(text).unwrap_err());
            assert!(said.contains(why) && !said.contains("s3cr3t"), "{text}: {said}");
        }
    }
}
