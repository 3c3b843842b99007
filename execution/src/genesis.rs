//! Block 0: allocations, system accounts and preinstalls.
