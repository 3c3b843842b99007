//! Looks at the account that pays for posts, so that somebody fills it before it is empty.

use std::sync::Arc;
use std::time::Duration;

use causeway_da::Runway;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::pause;
use crate::node::{Node, NodeError};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(30);
/// Below so many hours it is time to say so.
const FEW_HOURS: f64 = 24.0;
/// Looks between two warnings: an hour.
const QUIET: u32 = 120;

/// Runs until `stop`, or until it is known that posting costs nothing.
pub(super) async fn run(node: Arc<Node>, stop: CancellationToken) -> Result<(), NodeError> {
    let mut looks = 0;
    while !stop.is_cancelled() {
        match node.da().runway().await {
            Ok(Some(runway)) => {
                if is_short(&runway) && looks % QUIET == 0 {
                    warn!(
                        balance_wei = %runway.balance_wei, hours = runway.hours(),
                        "the account that pays for posts is nearly empty: send it funds, or building \
                         pauses once its blocks come near their window",
                    );
                }
                looks = if is_short(&runway) { looks + 1 } else { 0 };
                node.note_runway(runway);
            }
            Ok(None) => break,
            Err(error) => debug!(%error, "the account that pays for posts cannot be seen"),
        }
        pause(&stop, LOOK).await;
    }
    stop.cancelled().await;
    Ok(())
}

fn is_short(runway: &Runway) -> bool {
    runway.balance_wei.is_zero() || runway.hours().is_some_and(|hours| hours < FEW_HOURS)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;

    use super::*;

    #[test]
    fn a_day_is_short() {
        let runway = |balance: u64, wei_per_hour| Runway {
            balance_wei: U256::from(balance),
            wei_per_hour,
            spent_wei: 0,
        };
        assert!(is_short(&runway(0, 0)) && is_short(&runway(23, 1)));
        assert!(!is_short(&runway(24, 1)), "a day");
        assert!(!is_short(&runway(1, 0)), "nothing was spent lately");
    }
}
