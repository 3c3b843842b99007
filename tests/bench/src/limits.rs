//! What the machine could do at most, from the cost of each step measured in the same run.

pub mod costs;

/// Transactions a second if two cores did nothing but these steps, perfectly shared: costs in
/// microseconds of CPU time a transaction. With the client's cost among them, since it runs on the
/// same two cores:
///
/// ```text
/// 2 / (rpc + recover + execute + accounts * trie + roots + rows * row + log + client)
/// ```
pub fn two_core_bound(costs_us: &[f64]) -> f64 {
    2e6 / costs_us.iter().sum::<f64>()
}

/// Transactions a second of derivation, by its natural cut: senders are recovered on one core and
/// everything else happens on the other.
///
/// ```text
/// 1 / max(recover, execute + accounts * trie + roots + rows * row + log)
/// ```
pub fn split_bound(recover_us: f64, rest_us: &[f64]) -> f64 {
    1e6 / rest_us.iter().sum::<f64>().max(recover_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_cores_share_the_sum_of_the_costs() {
        assert_eq!(two_core_bound(&[40.0, 10.0]), 40_000.0);
    }

    #[test]
    fn the_busier_core_bounds_derivation() {
        assert_eq!(split_bound(50.0, &[10.0, 15.0]), 20_000.0);
        assert_eq!(split_bound(50.0, &[60.0, 40.0]), 10_000.0);
        // Sharing perfectly is never slower.
        assert!(two_core_bound(&[50.0, 10.0, 15.0]) >= split_bound(50.0, &[10.0, 15.0]));
    }
}
