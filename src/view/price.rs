//! What a plan moves and costs, in sentences. In: the plan's estimates. Out: text.

use super::look::InText;
use crate::byte_size;
use crate::delivery::HandOffKind;
use crate::plan::HandOffEstimate;
use crate::plan::downloads::Downloads;
use crate::plan::prices::PriceEstimate;
use crate::plan::problem::Millis;
use crate::plural::counted;
use crate::printable::printable;
use crate::provider::credit::Credit;

/// What jobs move between them; nothing where that is not known.
pub(super) fn hand_off(handoff: &HandOffEstimate, job_time: Millis, duration: InText) -> Option<String> {
    let about = handoff.bytes.map(|bytes| format!("about {}", byte_size::text(bytes)));
    let what = match (handoff.kind, &about) {
        (HandOffKind::Workspace, _) => format!("attach {} of the workspace", counted(handoff.layers, "layer")),
        (HandOffKind::Artifacts, _) => format!("fetch {}", counted(handoff.layers, "artifact")),
        // Nothing is known of what they fetch.
        (_, None) => return None,
        (HandOffKind::Packages, _) => "fetch from each other through the package registry".to_owned(),
        (HandOffKind::Cache, _) => "fetch from each other through the cache".to_owned(),
    };
    let is_layered = matches!(handoff.kind, HandOffKind::Workspace | HandOffKind::Artifacts);
    let faster = if is_layered && handoff.time * 10 > job_time {
        ": results would travel faster through a binary cache (`--handoff cache`)"
    } else {
        ""
    };
    let about = about.map(|about| format!(", {about}")).unwrap_or_default();
    Some(format!("Jobs {what}{about}, in {} of machine time{faster}.", duration(handoff.time)))
}

/// What jobs fetch from caches at least.
pub(super) fn downloads(downloads: &Downloads, duration: InText) -> String {
    let Downloads { derivations, unknown, nar_bytes, bytes, time } = *downloads;
    let unknown = if unknown > 0 {
        format!(", not counting {unknown} of which no cache says how large they are")
    } else {
        String::new()
    };
    format!(
        "Jobs fetch outputs from caches {}, at least {} ({} unpacked){unknown}: {} of all jobs' time, which is in no other figure.",
        counted(derivations, "time"),
        byte_size::text(bytes),
        byte_size::text(nar_bytes),
        duration(time)
    )
}

/// What the plan costs, in money where the price of a credit is known.
pub(super) fn sentence(price: &PriceEstimate, machines: u64, credit: Credit) -> String {
    let amount = |credits: u64| match price.credit_millionths {
        Some(millionths) => {
            let money = credits as f64 * millionths as f64 / 1e6;
            format!("{money:.2} {}", price.currency.as_deref().map(printable).unwrap_or_default()).trim_end().to_owned()
        }
        None => credit.amount(credits),
    };
    let mut parts = vec![format!("{} for machines", amount(machines))];
    parts.extend(price.storage.map(|credits| format!("{} for what jobs leave with the CI", amount(credits))));
    parts.extend(price.egress.map(|credits| format!("{} for what self-hosted machines fetch", amount(credits))));
    let sum = [Some(machines), price.storage, price.egress].into_iter().flatten().fold(0, u64::saturating_add);
    let sum = if parts.len() > 1 { format!("{}: ", amount(sum)) } else { String::new() };
    let unknown = match price.unknown.as_slice() {
        [] => String::new(),
        names => format!("; unknown, because no sizes are recorded: {}", names.join(", ")),
    };
    format!("Price: {sum}{}{unknown}.", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_in_money_where_a_credit_has_one_and_what_is_unknown_is_said() {
        let both = PriceEstimate { storage: Some(500), egress: Some(250), ..PriceEstimate::default() };
        assert_eq!(
            sentence(&both, 1_000, Credit::Own),
            "Price: 1750 credits: 1000 credits for machines, 500 credits for what jobs leave with the CI, 250 credits for what self-hosted machines fetch."
        );
        assert_eq!(sentence(&PriceEstimate::default(), 24, Credit::Millidollar), "Price: 0.024 USD for machines.");
        assert_eq!(sentence(&PriceEstimate::default(), 1, Credit::Minute), "Price: 1 compute minute for machines.");
        let money = PriceEstimate {
            credit_millionths: Some(600),
            currency: Some("USD".into()),
            unknown: vec!["storage".into(), "egress".into()],
            ..PriceEstimate::default()
        };
        assert_eq!(
            sentence(&money, 12_345, Credit::Own),
            "Price: 7.41 USD for machines; unknown, because no sizes are recorded: storage, egress."
        );
    }
}
