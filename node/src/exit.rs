//! How the process ends: one exit code for each kind of end, so that scripts need not read text.

use causeway_da::DaError;
use causeway_execution::ExecutionError;

use crate::cli::chainspec::LoadError;
use crate::node::NodeError;

/// Exit codes of `causeway`. 0 is success, 2 is clap's for wrong usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Did what was asked.
    Success = 0,
    /// Failed for a reason told on standard error.
    Failure = 1,
    /// The chain spec, or a settings file, is invalid.
    Spec = 3,
    /// Something needed could not be reached.
    Unreachable = 4,
    /// Stopped to stay safe: rules of another version, finality contradicted.
    Safety = 5,
    /// The disk failed, or the datadir is damaged, foreign or in use.
    Storage = 6,
}

/// An error that knows its exit code.
#[derive(Debug)]
pub struct ExitError {
    /// Code.
    pub exit: Exit,
    /// What, why, what to do.
    pub report: eyre::Report,
}

impl<E: Into<eyre::Report>> From<E> for ExitError {
    fn from(error: E) -> Self {
        let report = match error.into().downcast::<NodeError>() {
            Ok(NodeError::Execution(error)) => return error.into(),
            Ok(NodeError::Da(error)) => return error.into(),
            Ok(error @ NodeError::Safety(_)) => return Self::new(Exit::Safety, error),
            Ok(error @ NodeError::Task(_)) => return Self::new(Exit::Failure, error),
            Err(report) => report,
        };
        if let Some(LoadError::Invalid(..)) = report.downcast_ref() {
            return Self { exit: Exit::Spec, report };
        }
        match report.downcast_ref() {
            Some(DaError::Storage(_)) => return Self { exit: Exit::Storage, report },
            Some(DaError::Config(_)) => return Self { exit: Exit::Spec, report },
            Some(error) if error.is_temporary() => {
                return Self { exit: Exit::Unreachable, report };
            }
            _ => {}
        }
        let exit = match report.downcast_ref::<ExecutionError>() {
            Some(
                ExecutionError::Storage(_)
                | ExecutionError::Damaged(_)
                | ExecutionError::Datadir(_),
            ) => Exit::Storage,
            Some(ExecutionError::Spec(_)) => Exit::Spec,
            Some(ExecutionError::Broken(_)) => Exit::Safety,
            _ => Exit::Failure,
        };
        Self { exit, report }
    }
}

impl ExitError {
    /// An error of a chosen kind.
    pub fn new(exit: Exit, report: impl Into<eyre::Report>) -> Self {
        Self { exit, report: report.into() }
    }
}

/// What every command returns.
pub type CommandResult = Result<Exit, ExitError>;
