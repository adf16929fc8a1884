//! Nodes and edges as JSON, one a line.

use std::io::{self, Write};

use serde::Serialize;

use super::network::Network;

pub(super) fn write(network: &Network, out: &mut impl Write) -> io::Result<()> {
    write!(out, "{{\n  \"level\": \"{}\"", network.level)?;
    if !network.groups.is_empty() {
        list(out, "groups", &network.groups)?;
    }
    list(out, "nodes", &network.nodes)?;
    list(out, "edges", &network.edges)?;
    writeln!(out, "\n}}")
}

fn list(out: &mut impl Write, key: &str, items: &[impl Serialize]) -> io::Result<()> {
    write!(out, ",\n  \"{key}\": [")?;
    for (index, item) in items.iter().enumerate() {
        out.write_all(if index == 0 { b"\n    " } else { b",\n    " })?;
        serde_json::to_writer(&mut *out, item)?;
    }
    out.write_all(if items.is_empty() { b"]" } else { b"\n  ]" })
}
