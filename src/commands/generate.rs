//! `nixdag generate`

use anyhow::{Result, bail};

use super::{ExitCode, stages};
use crate::cli::GenerateArgs;
use crate::output::{Output, read_input};
use crate::provider::{Provider, circleci};
use crate::settings::Settings;

pub(super) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    let settings = Settings::new(&args.planning)?;
    let plan = stages::plan(&settings)?;
    let options = circleci::Options { executors: settings.executors.clone(), ..circleci::Options::default() };
    let config = Provider::CircleCi.generate(&plan, &options)?;
    match &args.output {
        Some(path) if args.check => {
            if read_input(path)? != config.as_bytes() {
                bail!("`{}` is not what the plan says (write it anew without `--check`)", path.display());
            }
        }
        output => Output::from(output.clone()).write(|out| out.write_all(config.as_bytes()))?,
    }
    Ok(ExitCode::Done)
}
