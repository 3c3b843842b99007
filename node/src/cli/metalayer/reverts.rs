//! What the Mailbox says no with, in words.

use alloy_sol_types::{SolInterface, sol};
use causeway_chainspec::mailbox::LaneStatus;

use super::lines::coins;
use crate::rpc::revert_reason;

sol! {
    interface Refusal {
        error OwnDomain(uint32 domain);
        error LaneClosed(uint32 domain, uint8 status);
        error LaneFull(uint32 domain, uint256 bytesLeft, uint256 bytesAsked);
        error BodyTooLong(uint256 length, uint256 most);
        error ValueTooLow(uint256 required, uint256 missing);
        error ExcessRefused(uint256 excess);
        error GasLimitTooHigh(uint256 gasLimit);
        error TtlTooLong(uint64 ttlSeconds);
        error ReservedAddress();
        error AmountZero();
        error RecipientInvalid(bytes32 recipient);
        error NoToken(bytes32 asset);
        error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);
    }
}

/// Revert data in words, if they are known.
pub(super) fn explain(data: &[u8]) -> Option<String> {
    use Refusal::RefusalErrors as Error;
    let Ok(error) = Error::abi_decode(data) else { return revert_reason(data) };
    Some(match error {
        Error::OwnDomain(_) => "a chain sends to other chains, not to itself".to_owned(),
        Error::LaneClosed(error) => closed(error.domain, error.status),
        Error::LaneFull(error) => format!(
            "this block has {} bytes left for domain {}, and the message takes {}: send it again \
             in the next block",
            error.bytesLeft, error.domain, error.bytesAsked
        ),
        Error::BodyTooLong(error) => {
            format!("a body of {} bytes is too long: the most is {}", error.length, error.most)
        }
        Error::ValueTooLow(error) => format!(
            "{} are needed, {} are missing: the fee may have risen, try again",
            coins(error.required),
            coins(error.missing)
        ),
        Error::ExcessRefused(error) => {
            format!("the sender does not take back {} that were too much", coins(error.excess))
        }
        Error::GasLimitTooHigh(error) => format!("{} gas is too much", error.gasLimit),
        Error::TtlTooLong(error) => format!("a lifetime of {} s is too long", error.ttlSeconds),
        Error::ReservedAddress(_) => "the Mailbox can be no sender and get no refund".to_owned(),
        Error::AmountZero(_) => "nothing to move".to_owned(),
        Error::RecipientInvalid(error) => {
            format!("{} can get no coins: it is no address", error.recipient)
        }
        Error::NoToken(_) => {
            "none of the hub's coin has arrived on this chain yet: there is nothing to send"
                .to_owned()
        }
        Error::ERC20InsufficientBalance(error) => format!(
            "{} has {}, and {} are needed",
            error.sender,
            coins(error.balance),
            coins(error.needed)
        ),
    })
}

fn closed(domain: u32, status: u8) -> String {
    match status {
        status if status == LaneStatus::Stalled as u8 => format!(
            "the lane to domain {domain} is stalled: nothing of it was taken in for too long; see \
             `causeway metalayer doctor`"
        ),
        status if status == LaneStatus::Paused as u8 => {
            format!("the directory has paused domain {domain}")
        }
        _ => format!("no member has the domain {domain}"),
    }
}
