//! What the tests share: worlds of nodes in one process, clocks turned by hand, small tools.
