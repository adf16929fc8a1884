//! Records for spreadsheets.
//!
//! In: [`Records`]. Out: a line of comma-separated values for each build, with a heading.

use std::io::{self, Write};

use super::records::{Ending, Records};
use super::used::Used;

/// Writes a line a build: comma-separated values with a header, quoted where they have to be (RFC 4180).
pub fn write(records: &Records, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "name,system,derivation,at,job,seconds,ending,class,attempts,cpu_seconds,memory,nar_bytes")?;
    for build in &records.builds {
        let ending = match build.ending {
            Ending::Built => "built",
            Ending::Failed => "failed",
        };
        let [name, system, derivation, job, class] =
            [&build.name, &build.system, &build.derivation, &build.job, build.class.as_deref().unwrap_or_default()]
                .map(value);
        let seconds = build.duration as f64 / 1000.0;
        let number = |number: Option<u64>| number.map_or(String::new(), |number| number.to_string());
        let Used { cpu, memory, nar_bytes, .. } = build.used;
        let cpu = cpu.map_or(String::new(), |cpu| (cpu as f64 / 1000.0).to_string());
        let (memory, nar_bytes) = (number(memory), number(nar_bytes));
        writeln!(
            out,
            "{name},{system},{derivation},{},{job},{seconds},{ending},{class},{},{cpu},{memory},{nar_bytes}",
            build.at, build.attempts
        )?;
    }
    Ok(())
}

/// A value of a comma-separated line. What a spreadsheet would take for a formula gets a quote in front.
fn value(text: &str) -> String {
    let text = match text.starts_with(['=', '+', '-', '@']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::Measurement;
    use super::*;

    #[test]
    fn lines_for_spreadsheets_hold_what_they_were_given_and_no_formula() {
        let derivation = format!("/nix/store/{}-a-1.drv", "0".repeat(32));
        let build = Measurement {
            name: "a-1".to_owned(),
            system: "x86_64-linux".to_owned(),
            derivation: derivation.clone(),
            at: 5,
            job: "job".to_owned(),
            duration: 1_500,
            ending: Ending::Failed,
            class: Some("=1+1, \"x\"".to_owned()),
            attempts: 1,
            used: Used { cpu: Some(900), ..Used::default() },
        };
        let all = Records { builds: vec![build], ..Records::default() };
        let mut text = Vec::new();
        write(&all, &mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            format!(
                "name,system,derivation,at,job,seconds,ending,class,attempts,cpu_seconds,memory,nar_bytes\n\
                 a-1,x86_64-linux,{derivation},5,job,1.5,failed,\"'=1+1, \"\"x\"\"\",1,0.9,,\n"
            )
        );
    }
}
