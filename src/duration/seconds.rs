//! Milliseconds as a JSON number of seconds: whole where they are whole, else with up to three decimals. For `#[serde(with)]`.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Writes milliseconds as seconds.
pub fn serialize<S: Serializer>(millis: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    if millis.is_multiple_of(1000) {
        serializer.serialize_u64(millis / 1000)
    } else {
        serializer.serialize_f64(*millis as f64 / 1000.0)
    }
}

/// The same for what may be missing: null.
pub mod optional {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Seconds(#[serde(with = "super")] u64);

    /// Writes milliseconds as seconds, or null.
    pub fn serialize<S: Serializer>(millis: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        millis.map(Seconds).serialize(serializer)
    }

    /// Reads seconds or null.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        Ok(Option::<Seconds>::deserialize(deserializer)?.map(|seconds| seconds.0))
    }
}

/// The same for a list.
pub mod list {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Seconds(#[serde(with = "super")] u64);

    /// Writes milliseconds as seconds.
    pub fn serialize<S: Serializer>(millis: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(millis.iter().copied().map(Seconds))
    }

    /// Reads seconds.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
        Ok(Vec::<Seconds>::deserialize(deserializer)?.into_iter().map(|seconds| seconds.0).collect())
    }
}

/// Reads seconds, refusing what is no duration.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    if !(0.0..=1e12).contains(&seconds) {
        return Err(D::Error::custom(format!("`{seconds}` is not a duration in seconds")));
    }
    Ok((seconds * 1000.0).round() as u64)
}
