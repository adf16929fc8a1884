//! Mutates real inputs. What a format is made of is kept more often than not (a word takes the place of a word, a value of JSON that of a
//! value), so that most inputs get past the first check of whoever reads them.

use serde_json::Value;

use super::random::Random;

/// Longest input, in bytes.
const MAX_LENGTH: usize = 256 << 10;

/// Numbers at which arithmetic goes wrong.
const NUMBERS: [&str; 12] = [
    "0",
    "1",
    "-1",
    "63",
    "64",
    "255",
    "65536",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "1e308",
];

/// Words that mean something to a shell, a terminal, a template, a path or a format, or are no text at all.
const WORDS: [&[u8]; 24] = [
    b"",
    b"\0",
    b"\n",
    b"\r\n",
    b" ",
    b"\x1b[31m",
    b"\xff\xfe",
    b"\xf0\x9f\x92\xa9",
    b"'",
    b"\"",
    b"\\",
    b"$(id)",
    b"<<",
    b">>",
    b"..",
    b"/",
    b"../../etc/passwd",
    b"%00",
    b"@",
    b"*a",
    b"&a ",
    b"[",
    b"{",
    b"\xe2\x80\xae",
];

/// What inputs are made from.
pub struct Corpus {
    seeds: Vec<Vec<u8>>,
    /// The same as JSON, for formats that are.
    values: Vec<Value>,
    /// All words in them.
    words: Vec<Vec<u8>>,
}

impl Corpus {
    /// Any text or bytes.
    pub fn new(seeds: Vec<Vec<u8>>) -> Self {
        let mut words: Vec<Vec<u8>> =
            seeds.iter().flat_map(|seed| words_of(seed).into_iter().map(|word| seed[word].to_vec())).collect();
        words.sort_unstable();
        words.dedup();
        Self { seeds, values: Vec::new(), words }
    }

    /// JSON, whose tree is mutated besides its text.
    pub fn json(seeds: Vec<Vec<u8>>) -> Self {
        let values = seeds.iter().map(|seed| serde_json::from_slice(seed).unwrap()).collect();
        Self { values, ..Self::new(seeds) }
    }

    /// The real inputs.
    pub fn seeds(&self) -> &[Vec<u8>] {
        &self.seeds
    }

    /// One input.
    pub fn input(&self, random: &mut Random) -> Vec<u8> {
        let changes = 1 + [0, 0, 0, 0, 1, 1, 2, 4][random.below(8)];
        if !self.values.is_empty() && !random.once_in(3) {
            let mut value = random.of(&self.values).clone();
            (0..changes).for_each(|_| self.change_value(&mut value, random));
            return value.to_string().into_bytes();
        }
        let mut bytes = random.of(&self.seeds).clone();
        (0..changes).for_each(|_| self.change(&mut bytes, random));
        bytes
    }

    fn change(&self, bytes: &mut Vec<u8>, random: &mut Random) {
        let at = random.below(bytes.len() + 1);
        let range = random.range(bytes.len());
        match random.below(16) {
            // A word takes the place of another one.
            0..=5 => {
                let places = words_of(bytes);
                if !places.is_empty() && !self.words.is_empty() {
                    let place = random.of(&places).clone();
                    let word = if random.once_in(3) { self.odd(random) } else { random.of(&self.words).clone() };
                    bytes.splice(place, word);
                }
            }
            6 if !bytes.is_empty() => bytes[range.start] ^= 1 << random.below(8),
            7 if !bytes.is_empty() => bytes[range.start] = random.next() as u8,
            8 => _ = bytes.splice(at..at, self.odd(random)),
            9 => _ = bytes.drain(range),
            10 => {
                let copy = bytes[range].to_vec();
                bytes.splice(at..at, copy);
            }
            11 if random.once_in(3) => bytes.truncate(at),
            // A line again, elsewhere, or gone.
            11 | 12 if !bytes.is_empty() => {
                let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
                let (from, to) = (random.below(lines.len()), random.below(lines.len()));
                let mut changed = lines.clone();
                match random.below(3) {
                    0 => changed.insert(to, lines[from]),
                    1 => changed.swap(from, to),
                    _ => _ = changed.remove(from),
                }
                *bytes = changed.concat();
            }
            13 => {
                let other = random.of(&self.seeds);
                let range = random.range(other.len());
                bytes.splice(at..at, other[range].iter().copied());
            }
            // Much of the same: what is not linear takes its time.
            14 if random.once_in(20) => {
                let part = bytes[range].to_vec();
                let times = (MAX_LENGTH.saturating_sub(bytes.len()) / part.len().max(1)).min(1 << random.below(18));
                bytes.splice(at..at, part.repeat(times));
            }
            _ if !bytes.is_empty() => {
                let value = random.next().to_le_bytes();
                let end = bytes.len().min(range.start + 8);
                let length = end - range.start;
                bytes[range.start..end].copy_from_slice(&value[..length]);
            }
            _ => {}
        }
        bytes.truncate(MAX_LENGTH);
    }

    fn odd(&self, random: &mut Random) -> Vec<u8> {
        if random.once_in(2) { random.of(&NUMBERS).as_bytes().to_vec() } else { random.of(&WORDS).to_vec() }
    }

    fn change_value(&self, root: &mut Value, random: &mut Random) {
        let other = random.of(&self.values);
        let taken = nth(&mut other.clone(), random.below(count(other))).map(std::mem::take).unwrap_or_default();
        let Some(value) = nth(root, random.below(count(root))) else { return };
        match (random.below(8), &mut *value) {
            (0, Value::Object(entries)) if !entries.is_empty() => {
                let key = entries.keys().nth(random.below(entries.len())).cloned().unwrap_or_default();
                match random.below(3) {
                    0 => _ = entries.remove(&key),
                    1 => _ = entries.insert(key, taken),
                    _ => _ = entries.insert(String::from_utf8_lossy(&self.odd(random)).into_owned(), taken),
                }
            }
            (0 | 1, Value::Array(items)) if !items.is_empty() => {
                let item = items[random.below(items.len())].clone();
                match random.below(4) {
                    0 => _ = items.remove(random.below(items.len())),
                    1 => items.push(taken),
                    2 if random.once_in(20) => items.extend(std::iter::repeat_n(item, 1 << random.below(8))),
                    _ => items.insert(random.below(items.len()), item),
                }
            }
            (0..=3, Value::String(text)) => {
                let mut bytes = text.clone().into_bytes();
                self.change(&mut bytes, random);
                *text = String::from_utf8_lossy(&bytes).into_owned();
            }
            (0..=3, Value::Number(_)) => *value = serde_json::from_str(random.of::<&str>(&NUMBERS)).unwrap_or_default(),
            (4, _) => *value = random.of(&self.words).iter().map(|&byte| byte as char).collect::<String>().into(),
            (5, _) => {
                *value =
                    [Value::Null, true.into(), Value::Array(Vec::new()), serde_json::json!({})][random.below(4)].clone()
            }
            (6, _) if random.once_in(20) => {
                *value = (0..random.below(300)).fold(taken, |inner, _| Value::Array(vec![inner]));
            }
            _ => *value = taken,
        }
    }
}

/// Places of words: letters, digits and what joins them.
fn words_of(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+/".contains(&byte);
    let mut places = Vec::new();
    let mut start = None;
    for (at, &byte) in bytes.iter().chain(b" ").enumerate() {
        match (start, is_word(byte)) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                places.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    places
}

/// Values in a tree, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(entries) => entries.values().map(count).sum(),
        _ => 0,
    }
}

/// The value of this number.
fn nth(value: &mut Value, mut number: usize) -> Option<&mut Value> {
    if number == 0 {
        return Some(value);
    }
    number -= 1;
    let children: Box<dyn Iterator<Item = &mut Value>> = match value {
        Value::Array(items) => Box::new(items.iter_mut()),
        Value::Object(entries) => Box::new(entries.values_mut()),
        _ => return None,
    };
    for child in children {
        let size = count(child);
        if number < size {
            return nth(child, number);
        }
        number -= size;
    }
    None
}
