//! What the machine could do at most, from the cost of each step measured in the same run.

/// Transactions a second if two cores did nothing but these steps, perfectly shared: costs in
/// microseconds of CPU time a transaction.
pub fn two_core_bound(costs_us: &[f64]) -> f64 {
    2e6 / costs_us.iter().sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_cores_share_the_sum_of_the_costs() {
        assert_eq!(two_core_bound(&[40.0, 10.0]), 40_000.0);
    }
}
