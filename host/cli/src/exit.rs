//! How the process ends: its exit codes, and what is said on stderr when something went wrong.

use std::io::{self, Write as _};
use std::process::ExitCode;

/// Exit codes. clap ends with [`Exit::Usage`] by itself when the command line cannot be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done: 0.
    Success,
    /// Something failed: 1.
    Failure,
    /// What was asked for makes no sense; asking again the same way will not help: 2.
    Usage,
    /// As the command ended that was run.
    Of(u8),
}

impl Exit {
    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Of(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The command line asks for something that is not there or not possible: [`Exit::Usage`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// What is already said on stderr or stdout in full, so that only the exit code is left to give: [`Exit::Failure`].
#[derive(Debug, thiserror::Error)]
#[error("failed; see above")]
pub struct AlreadyReported;

/// Says what went wrong and answers how to end. The reader of our output going away is no failure.
#[must_use]
pub fn report(error: &anyhow::Error, verbose: bool) -> Exit {
    let links = || error.chain();
    let broken_pipe = |link: &(dyn std::error::Error + 'static)| {
        link.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    if links().any(broken_pipe) {
        return Exit::Success;
    }
    if !links().any(|link| link.is::<AlreadyReported>()) {
        // There is nobody left to tell if stderr is closed.
        let _ = io::stderr().write_all(message(error, verbose).as_bytes());
    }
    if links().any(|link| link.is::<UsageError>()) { Exit::Usage } else { Exit::Failure }
}

/// One line: what failed and its root cause. With `verbose`, the causes between them follow.
fn message(error: &anyhow::Error, verbose: bool) -> String {
    let what = error.to_string();
    let root = error.root_cause().to_string();
    let mut text = if what.contains(&root) { format!("weft: {what}\n") } else { format!("weft: {what}: {root}\n") };
    if verbose {
        for cause in error.chain().skip(1) {
            text.push_str(&format!("  caused by: {cause}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn one_line_says_what_and_why() {
        let error = Err::<(), _>(io::Error::other("disk on fire")).context("cannot read x").context("cannot start");
        let error = error.unwrap_err();
        assert_eq!(message(&error, false), "weft: cannot start: disk on fire\n");
        let verbose = "weft: cannot start: disk on fire\n  caused by: cannot read x\n  caused by: disk on fire\n";
        assert_eq!(message(&error, true), verbose);
        assert_eq!(message(&anyhow!("plain"), false), "weft: plain\n");
    }

    #[test]
    fn exit_codes_follow_the_kind_of_error() {
        let usage = anyhow::Error::new(UsageError("no such thing".to_owned())).context("wrapped");
        assert_eq!(report(&usage, false), Exit::Usage);
        assert_eq!(report(&anyhow!("broken"), false), Exit::Failure);
        assert_eq!(report(&AlreadyReported.into(), false), Exit::Failure);
        let gone = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)).context("writing");
        assert_eq!(report(&gone, false), Exit::Success);
    }
}
