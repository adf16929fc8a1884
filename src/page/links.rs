//! Links within the page: a job's address is `#job=ID`.

use std::fmt::{self, Write};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::pipeline::{JobNumber, Pipeline};
use crate::view::markup::name;

/// A link to a job, by its name.
pub fn job(pipeline: &Pipeline, number: JobNumber, out: &mut dyn Write) -> fmt::Result {
    let job = pipeline.job(number);
    let id = utf8_percent_encode(&job.id, NON_ALPHANUMERIC);
    write!(out, "<a class=\"n\" href=\"#job={id}\">{}</a>", name(&job.name))
}
