//! Where workers talk, as `worker_store` and `--names` have it.
//!
//! In: text. Out: a [`NamesPlace`], or what is wrong with the text, without credentials that may be in it.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

use super::bucket::Bucket;
use crate::printable::printable_url;

/// Where workers talk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamesPlace {
    /// A folder that all of them see.
    Folder(PathBuf),
    /// A bucket.
    Bucket(Bucket),
    /// A program at standard output and input.
    Pipe,
}

impl NamesPlace {
    /// Reads a place.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "" => bail!("a store of names that is empty: expected a folder or `s3://BUCKET`"),
            "pipe" => Ok(Self::Pipe),
            url if url.starts_with("s3:") => Ok(Self::Bucket(Bucket::parse(url)?)),
            url if url.contains("://") => {
                bail!("`{}` is not a store of names: expected a folder or `s3://BUCKET`", printable_url(url))
            }
            folder => {
                ensure!(!folder.contains('\0'), "a folder's name with a zero byte");
                Ok(Self::Folder(folder.into()))
            }
        }
    }

    /// Reads a place where workers talk that a CI service starts: each machine has to find the same one by the text alone.
    pub fn of_jobs(text: &str) -> Result<Self> {
        let place = Self::parse(text)?;
        match &place {
            Self::Pipe => bail!(
                "`pipe` is for who starts workers: in a job nobody is at the other end. Name a bucket (`s3://BUCKET?region=…`), or a folder that \
                 all machines see"
            ),
            Self::Folder(folder) => ensure!(
                folder.is_absolute(),
                "`{}` is a relative path, which is another folder in each job: name a folder that all machines see by its absolute path, or a \
                 bucket (`s3://BUCKET?region=…`)",
                printable_url(text)
            ),
            Self::Bucket(_) => {}
        }
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_talk_where_each_of_them_finds_the_others() {
        assert_eq!(NamesPlace::parse("pipe").unwrap(), NamesPlace::Pipe);
        assert_eq!(NamesPlace::parse("names").unwrap(), NamesPlace::Folder("names".into()));
        assert!(matches!(NamesPlace::of_jobs("s3://bucket").unwrap(), NamesPlace::Bucket(_)));
        assert_eq!(NamesPlace::of_jobs("/mnt/names").unwrap(), NamesPlace::Folder("/mnt/names".into()));
        for (text, why) in [
            ("", "is empty"),
            ("pipe", "nobody is at the other end"),
            ("names", "is a relative path"),
            ("./names", "is a relative path"),
            ("~/names", "is a relative path"),
            ("s3:bucket", "is not a store URL"),
            ("https://example.org/names", "expected a folder or `s3://BUCKET`"),
            ("https://me:s3cr3t@example.org", "expected a folder or `s3://BUCKET`"),
            ("file:///mnt/names", "expected a folder or `s3://BUCKET`"),
            ("S3://KEY:s3cr3t@bucket", "expected a folder or `s3://BUCKET`"),
            ("KEY:s3cr3t@bucket", "is a relative path"),
            ("s3://KEY:s3cr3t@bucket", "in front of `@`"),
        ] {
            let said = format!("{:#}", NamesPlace::of_jobs(text).unwrap_err());
            assert!(said.contains(why) && !said.contains("s3cr3t"), "{text}: {said}");
        }
    }
}
