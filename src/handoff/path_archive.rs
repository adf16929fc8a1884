//! The store paths of a drv bundle in one compressed stream, and the part of it that one job needs as a Nix export.
//!
//! The stream is zstd. First comes an index, a line a path: base name, size of its NAR in bytes, numbers of the paths that it
//! refers to (a comma between; `-` for none), references before referrers; a size of 0 stands for a path that was not to be had.
//! After an empty line the NARs follow in the same order, nothing between them. Numbers and sizes are all that is needed to
//! find a closure in one pass and to copy it without looking into it.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::nix::content_address;
use crate::nix::fixed_output::PlainFile;
use crate::nix::hash::{HashingWriter, Sha256};
use crate::nix::nar;
use crate::nix::store_path;
use crate::nix::unpack::unpack;

/// How the stream is compressed; it is written once and read by every job.
const LEVEL: i32 = 9;

/// Longest line of the index, in bytes: a derivation that refers to 100,000 others.
const MAX_LINE: u64 = 1 << 20;

/// Most paths that are read.
const MAX_PATHS: usize = 10_000_000;

/// Where a path's contents are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// A plain file: a derivation.
    File(PathBuf),
    /// Anything, with the digest of its NAR: a source.
    Tree(PathBuf, Sha256),
    /// Nowhere here.
    Absent,
}

/// One path to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveEntry {
    /// The store path.
    pub path: String,
    /// Bytes of its NAR.
    pub nar_size: u64,
    /// The store paths that it refers to.
    pub references: Vec<String>,
    /// Where its contents are.
    pub contents: Contents,
}

impl ArchiveEntry {
    /// A path that is not to be had.
    pub fn absent(path: &str) -> ArchiveEntry {
        ArchiveEntry { path: path.to_owned(), nar_size: 0, references: Vec::new(), contents: Contents::Absent }
    }
}

/// Puts references before referrers and otherwise keeps to the order of the paths. A missing reference or a cycle is an error.
pub fn sort(entries: &mut Vec<ArchiveEntry>) -> Result<()> {
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let numbers: HashMap<&str, usize> =
        entries.iter().enumerate().map(|(number, entry)| (entry.path.as_str(), number)).collect();
    let mut position = vec![usize::MAX; entries.len()];
    let mut order = Vec::with_capacity(entries.len());
    let mut stack: Vec<(usize, usize)> = Vec::new();
    // Depth first without recursion: chains of derivations are thousands long.
    const OPEN: usize = usize::MAX - 1;
    for root in 0..entries.len() {
        if position[root] != usize::MAX {
            continue;
        }
        position[root] = OPEN;
        stack.push((root, 0));
        while let Some((number, next)) = stack.last_mut() {
            let entry = &entries[*number];
            let Some(reference) = entry.references.get(*next) else {
                position[*number] = order.len();
                order.push(*number);
                stack.pop();
                continue;
            };
            *next += 1;
            let to = *numbers
                .get(reference.as_str())
                .with_context(|| format!("`{}` refers to `{reference}`, which is not there", entry.path))?;
            if position[to] == usize::MAX {
                position[to] = OPEN;
                stack.push((to, 0));
            } else if position[to] == OPEN && to != stack[stack.len() - 1].0 {
                bail!("`{reference}` refers to itself by way of others");
            }
        }
    }
    let mut slots: Vec<Option<ArchiveEntry>> = std::mem::take(entries).into_iter().map(Some).collect();
    entries.extend(order.into_iter().filter_map(|number| slots[number].take()));
    Ok(())
}

/// Writes paths that [`sort`] has put in order.
pub fn write(entries: &[ArchiveEntry], out: &mut dyn Write) -> Result<()> {
    let numbers: HashMap<&str, usize> =
        entries.iter().enumerate().map(|(number, entry)| (entry.path.as_str(), number)).collect();
    let mut encoder = zstd::Encoder::new(out, LEVEL)?;
    // Not the number of this machine's cores: that must not change the bytes, and with one thread or more it does not.
    encoder.multithread(std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32))?;
    for entry in entries {
        let (_, base) = store_path::split(&entry.path)?;
        let references: Vec<String> = entry
            .references
            .iter()
            .map(|path| numbers.get(path.as_str()).map(usize::to_string).context("a reference that is not there"))
            .collect::<Result<_>>()?;
        let references = if references.is_empty() { "-".to_owned() } else { references.join(",") };
        writeln!(encoder, "{base} {} {references}", entry.nar_size)?;
    }
    encoder.write_all(b"\n")?;
    for entry in entries {
        write_contents(entry, &mut encoder)?;
    }
    encoder.finish()?;
    Ok(())
}

fn write_contents(entry: &ArchiveEntry, out: &mut impl Write) -> Result<()> {
    let mut hashing = HashingWriter::new(out);
    let digest = match &entry.contents {
        Contents::File(path) => {
            let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
            nar::write_file(&bytes, &mut hashing)?;
            None
        }
        Contents::Tree(path, digest) => {
            nar::write(path, &mut hashing)?;
            Some(*digest)
        }
        Contents::Absent => return Ok(()),
    };
    let (_, found, size) = hashing.finish();
    ensure!(
        size == entry.nar_size && digest.is_none_or(|digest| digest == found),
        "`{}` is not what it was when it came into the store (`nix-store --verify-path` shows more)",
        entry.path
    );
    Ok(())
}

/// One path of the index.
struct Indexed {
    path: String,
    nar_size: u64,
    references: Vec<u32>,
    wanted: bool,
}

/// The part of a stream that some paths need: their closure.
pub struct BundledClosure {
    stream: BufReader<zstd::Decoder<'static, BufReader<fs::File>>>,
    paths: Vec<Indexed>,
    /// Digests that NARs have to have, by path.
    digests: HashMap<String, Sha256>,
    is_addressed: bool,
}

impl BundledClosure {
    /// Reads the index and finds the closure. A path that is not there is an error.
    pub fn read(file: fs::File, store_dir: &str, roots: &[&str]) -> Result<BundledClosure> {
        let mut stream = BufReader::with_capacity(256 * 1024, unpack(file)?);
        let mut paths: Vec<Indexed> = Vec::new();
        let mut line = String::new();
        loop {
            line.clear();
            let number = paths.len();
            Read::by_ref(&mut stream)
                .take(MAX_LINE)
                .read_line(&mut line)
                .with_context(|| format!("cannot read line {} of the index", number + 1))?;
            if line == "\n" {
                break;
            }
            ensure!(number < MAX_PATHS, "an index of more than {MAX_PATHS} paths");
            paths.push(
                index_line(&line, number, store_dir).with_context(|| format!("line {} of the index", number + 1))?,
            );
        }
        let mut numbers: HashMap<&str, usize> = HashMap::with_capacity(roots.len());
        for &path in roots {
            numbers.insert(path, usize::MAX);
        }
        for (number, path) in paths.iter().enumerate() {
            if let Some(slot) = numbers.get_mut(path.path.as_str()) {
                *slot = number;
            }
        }
        let mut found = Vec::with_capacity(numbers.len());
        for &path in roots {
            match numbers.get(path) {
                Some(&number) if number != usize::MAX => found.push(number),
                _ => bail!("`{path}` is not in the bundle: plan and bundle do not belong together"),
            }
        }
        for number in found {
            paths[number].wanted = true;
        }
        for number in (0..paths.len()).rev() {
            if paths[number].wanted {
                for reference in std::mem::take(&mut paths[number].references) {
                    paths[reference as usize].wanted = true;
                    paths[number].references.push(reference);
                }
            }
        }
        Ok(BundledClosure { stream, paths, digests: HashMap::new(), is_addressed: false })
    }

    /// Makes it an error where one of these paths has other contents.
    pub fn expect<'a>(&mut self, digests: impl IntoIterator<Item = (&'a str, Sha256)>) {
        self.digests.extend(digests.into_iter().map(|(path, digest)| (path.to_owned(), digest)));
    }

    /// Makes it an error where a path is not the one that follows from its contents: derivations and sources all are, outputs are not.
    pub fn expect_addresses(&mut self) {
        self.is_addressed = true;
    }

    /// Paths of the closure that the bundle does not carry: sources that the planning machine did not have either, and what caches have.
    pub fn absent(&self) -> Vec<&str> {
        self.paths.iter().filter(|path| path.wanted && path.nar_size == 0).map(|path| path.path.as_str()).collect()
    }

    /// Number of paths, and bytes of their NARs.
    pub fn size(&self) -> (u64, u64) {
        self.paths
            .iter()
            .filter(|path| path.wanted)
            .fold((0, 0), |(count, bytes), path| (count + 1, bytes.saturating_add(path.nar_size)))
    }

    /// Writes the closure in the format of `nix-store --export`. Memory stays flat.
    pub fn export(mut self, out: &mut dyn Write) -> Result<()> {
        let mut out = out;
        for path in self.paths.iter().filter(|path| path.nar_size > 0) {
            let mut nar = Read::by_ref(&mut self.stream).take(path.nar_size);
            if path.wanted {
                let mut nar = PlainFile::new(nar);
                nar::export_begin(&mut out)?;
                let mut hashing = HashingWriter::new(&mut out);
                io::copy(&mut nar, &mut hashing)?;
                let (_, digest, copied) = hashing.finish();
                ensure!(copied == path.nar_size, "the bundle ends within `{}`", path.path);
                let is_expected = self.digests.get(&path.path).is_none_or(|expected| *expected == digest);
                ensure!(is_expected, "`{}` in the bundle is not what the plan says that evaluation built", path.path);
                let references = || path.references.iter().map(|&number| self.paths[number as usize].path.as_str());
                let is_its_own = !self.is_addressed || is_addressed(&path.path, digest, nar.digest(), references())?;
                ensure!(is_its_own, "`{}` in the archive is not what its name says", path.path);
                nar::export_describe(&mut out, &path.path, references())?;
            } else {
                let skipped = io::copy(&mut nar, &mut io::sink())?;
                ensure!(skipped == path.nar_size, "the bundle ends within `{}`", path.path);
            }
        }
        Ok(nar::export_end(&mut out)?)
    }
}

/// Whether a path follows from the digest of its NAR, or from that of the file that it is.
fn is_addressed<'a>(
    path: &str,
    nar: Sha256,
    file: Option<Sha256>,
    references: impl Iterator<Item = &'a str>,
) -> Result<bool> {
    let references: Vec<String> =
        references.map(|path| Ok(store_path::split(path)?.1.to_owned())).collect::<Result<_>>()?;
    let of_file =
        file.map(|file| [format!("text:sha256:{}", file.base32()), format!("fixed:sha256:{}", file.base32())]);
    let mut addresses = of_file.into_iter().flatten().chain([format!("fixed:r:sha256:{}", nar.base32())]);
    Ok(addresses.any(|address| content_address::leads_to(&address, path, &references)))
}

fn index_line(line: &str, number: usize, store_dir: &str) -> Result<Indexed> {
    let line = line.strip_suffix('\n').ok_or_else(|| anyhow!("the index is cut short"))?;
    let mut words = line.split(' ');
    let (Some(base), Some(size), Some(references), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        bail!("expected name, size and references");
    };
    ensure!(store_path::is_base_name(base.as_bytes()), "not the name of a store path");
    let nar_size = size.parse().context("no size")?;
    let references = match references {
        "-" => Vec::new(),
        list => list
            .split(',')
            .map(|reference| match reference.parse::<u32>() {
                Ok(reference) if reference as usize <= number => Ok(reference),
                _ => Err(anyhow!("a reference to a path that does not come before it")),
            })
            .collect::<Result<_>>()?,
    };
    Ok(Indexed { path: format!("{store_dir}/{base}"), nar_size, references, wanted: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_no_sum_holds_are_an_error_at_the_first_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = ["0", "1"].map(|digit| format!("{}-a", digit.repeat(32)));
        let index = format!("{a} {0} -\n{b} {0} 0\n\n", u64::MAX);
        let file = dir.path().join("paths.zst");
        fs::write(&file, zstd::encode_all(index.as_bytes(), 1).unwrap()).unwrap();
        let root = format!("/nix/store/{b}");
        let closure = BundledClosure::read(fs::File::open(&file).unwrap(), "/nix/store", &[&root]).unwrap();
        assert_eq!(closure.size(), (2, u64::MAX));
        assert!(closure.export(&mut io::sink()).unwrap_err().to_string().contains("the bundle ends within"));
    }
}
